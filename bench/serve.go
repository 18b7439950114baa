package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"tfhaul/tfesim"
)

// The organization of all workspaces.
const organization = "demo"

// serverOptions configure the server.
type serverOptions struct {
	Limit   int // requests per second; 0 means none
	Latency time.Duration
	HCP     bool
	OnDisk  bool // keep states in files instead of memory

	Dir string // of its files
}

// An order is a line that the server's process reads, and an answer one that it writes.
type order struct {
	Do string
	// Workspaces to create, or to examine.
	Workspaces []string
	// File with the state for the first of them.
	File string
}

type answer struct {
	Error string `json:",omitempty"`
	Tally tally
	// Holding is how many workspaces have a current state version, Locked how many are
	// locked.
	Holding, Locked int
}

// serve is the role of the server's process. It reads its options from the first argument
// and orders from standard input, and ends with it.
func serve(arguments []string) error {
	var o serverOptions
	if err := json.Unmarshal([]byte(arguments[0]), &o); err != nil {
		return err
	}
	options := tfesim.Options{Organizations: []string{organization}, RateLimit: o.Limit, Latency: o.Latency, ExecutionMode: "local"}
	if o.Limit == 0 {
		options.RateLimit = -1 // announce none
	}
	if o.HCP {
		options.Personality = tfesim.HCP
	}
	if o.OnDisk {
		options.Data = filepath.Join(o.Dir, "data")
	}
	sim, err := tfesim.New(options)
	if err != nil {
		return err
	}
	running, err := sim.Start("")
	if err != nil {
		return err
	}
	if err := running.WriteEnvFile(filepath.Join(o.Dir, "env")); err != nil {
		return errors.Join(err, running.Close())
	}
	orders, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	if err := answers.Encode(answer{}); err != nil { // ready
		return errors.Join(err, running.Close())
	}
	for {
		var next order
		if err := orders.Decode(&next); err == io.EOF {
			return running.Close()
		} else if err != nil {
			return errors.Join(err, running.Close())
		}
		if err := answers.Encode(obey(sim, next)); err != nil {
			return errors.Join(err, running.Close())
		}
	}
}

func obey(sim *tfesim.Server, o order) (a answer) {
	switch o.Do {
	case "workspaces":
		for _, name := range o.Workspaces {
			if _, err := sim.AddWorkspace(organization, name); err != nil {
				a.Error = err.Error()
			}
		}
	case "seed":
		raw, err := os.ReadFile(o.File)
		if err == nil {
			_, err = sim.Seed(organization, o.Workspaces[0], raw)
		}
		if err != nil {
			a.Error = err.Error()
		}
	case "counts":
		for _, q := range sim.Requests() {
			a.Tally.add(q)
		}
		sim.ResetRequests()
	case "look":
		for _, name := range o.Workspaces {
			if len(sim.Versions(organization, name)) > 0 {
				a.Holding++
			}
		}
		a.Locked = len(sim.Locked(organization))
	}
	return a
}

// A server is the embedded TFE in a separate process.
type server struct {
	env     map[string]string // as described in docs/sim.md
	dir     string
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *json.Decoder
}

// open starts a server.
func (s *site) open(ctx context.Context, o serverOptions) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if o.Dir, err = os.MkdirTemp(s.dir, "server-*"); err != nil {
		return nil, err
	}
	options, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	v := &server{dir: o.Dir, cmd: exec.CommandContext(ctx, self, "serve", string(options))}
	v.cmd.Stderr = os.Stderr
	if v.orders, err = v.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	v.answers = json.NewDecoder(bufio.NewReader(stdout))
	var ready answer
	err = v.answers.Decode(&ready)
	if err == nil {
		v.env, err = readEnv(filepath.Join(o.Dir, "env"))
	}
	if err != nil {
		return nil, errors.Join(err, v.close())
	}
	return v, nil
}

// readEnv parses the export lines of a server's env file.
func readEnv(file string) (map[string]string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^export (\w+)='([^']*)'$`).FindAllStringSubmatch(string(content), -1) {
		env[m[1]] = m[2]
	}
	return env, nil
}

// environ returns the environment in which programs find the server.
func (v *server) environ() []string {
	var env []string
	for name, value := range v.env {
		env = append(env, name+"="+value)
	}
	return env
}

// address returns the address of a workspace, or of the organization for "".
func (v *server) address(workspace string) string {
	return strings.TrimSuffix(v.env["TFE_HOSTNAME"]+"/"+organization+"/"+workspace, "/")
}

func (v *server) do(o order) (answer, error) {
	var a answer
	if err := json.NewEncoder(v.orders).Encode(o); err != nil {
		return a, fmt.Errorf("the server has exited: %w", err)
	}
	if err := v.answers.Decode(&a); err != nil {
		return a, fmt.Errorf("the server has exited: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// close stops the server and removes its files.
func (v *server) close() error {
	return errors.Join(v.orders.Close(), v.cmd.Wait(), os.RemoveAll(v.dir))
}

// A tally counts requests as seen by the server.
type tally struct {
	API     int // counted by the rate limit
	Limited int // refused because of the limit
	Blobs   int // uploads to and downloads from signed addresses
}

func (t *tally) add(q tfesim.Request) {
	switch {
	case strings.HasPrefix(q.Path, "/api/v2/"):
		t.API++
		if q.Status == http.StatusTooManyRequests {
			t.Limited++
		}
	case strings.HasPrefix(q.Path, "/_archivist/"):
		t.Blobs++
	}
}

// counts returns the requests since the last call.
func (v *server) counts() (tally, error) {
	a, err := v.do(order{Do: "counts"})
	return a.Tally, err
}

// look fails unless every workspace has a state and none is locked: a program that did not
// finish its work must not be compared.
func (v *server) look(who string, workspaces []string) error {
	a, err := v.do(order{Do: "look", Workspaces: workspaces})
	if err != nil {
		return err
	}
	if a.Holding != len(workspaces) || a.Locked > 0 {
		return fmt.Errorf("after %s, %d of %d workspaces have a state and %d are locked", who, a.Holding, len(workspaces), a.Locked)
	}
	return nil
}
