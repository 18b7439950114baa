package main

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/fixtures"
	"tfhaul/pairing"
)

// A state is a file and the workspace for it.
type state struct {
	file, workspace string
	size            int64
}

// A landscape is a directory of states.
type landscape struct {
	dir    string
	states []state
	bytes  int64
}

// plant writes n states whose sizes have the given median.
func (s *site) plant(ctx context.Context, n int, median int64) (*landscape, error) {
	dir, err := os.MkdirTemp(s.dir, "landscape-*")
	if err != nil {
		return nil, err
	}
	if _, err := fixtures.Landscape(dir, n, 1, fixtures.WithMedianSize(median), fixtures.WithLocks(0)); err != nil {
		return nil, err
	}
	listing, err := backend.Kinds{file.Kind(backend.Connection{})}.Find(ctx, dir, backend.Filter{})
	if err != nil {
		return nil, err
	}
	namer, err := pairing.ParseNamer("")
	if err != nil {
		return nil, err
	}
	l := &landscape{dir: dir}
	for _, o := range listing.States {
		workspace, err := namer.Name(o.Place())
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(o.Address())
		if err != nil {
			return nil, err
		}
		l.states = append(l.states, state{o.Address(), workspace, info.Size()})
		l.bytes += info.Size()
	}
	return l, settle(dir)
}

// settle makes files look as old as in a real migration: files written within the last two
// seconds are read twice, because they may still change. It also writes them to disk now,
// so that this does not disturb a measurement.
func settle(dir string) error {
	old := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err == nil && installed("sync") {
		err = exec.Command("sync").Run()
	}
	return err
}

func workspacesOf(states []state) []string {
	all := make([]string, len(states))
	for i, s := range states {
		all[i] = s.workspace
	}
	return all
}

// list writes the states to a file for the scripts: file, tab, workspace.
func (s *site) list(states []state) (string, error) {
	f, err := os.CreateTemp(s.dir, "list-*")
	if err != nil {
		return "", err
	}
	for _, state := range states {
		if _, err := fmt.Fprintf(f, "%s\t%s\n", state.file, state.workspace); err != nil {
			return "", err
		}
	}
	return f.Name(), f.Close()
}

// writeState writes one generated state of about this many bytes.
func (s *site) writeState(name string, spec fixtures.Spec) (string, error) {
	dir, err := os.MkdirTemp(s.dir, "state-*")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := spec.WriteTo(w); err != nil {
		return "", err
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return path, settle(dir)
}

// header holds the attributes that the API requires.
type header struct {
	Serial  int64  `json:"serial"`
	Lineage string `json:"lineage"`
	md5     string
}

// headerOf reads a whole state, as scripts do.
func headerOf(raw []byte) (header, error) {
	var h header
	err := json.Unmarshal(raw, &h)
	sum := md5.Sum(raw)
	h.md5 = hex.EncodeToString(sum[:])
	return h, err
}

// plainState writes a state that the real terraform accepts without a provider: it contains
// only terraform_data. It has at least this many bytes.
func plainState(w io.Writer, serial int, lineage string, size int) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "{\n  \"version\": 4,\n  \"terraform_version\": \"1.5.0\",\n  \"serial\": %d,\n  \"lineage\": %q,\n  \"outputs\": {},\n  \"resources\": [", serial, lineage)
	filler := strings.Repeat("0123456789abcdef", 16)
	for made, i := 0, 0; i == 0 || made < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		n, err := fmt.Fprintf(b, `
    {
      "mode": "managed",
      "type": "terraform_data",
      "name": "r%d",
      "provider": "provider[\"terraform.io/builtin/terraform\"]",
      "instances": [
        {
          "schema_version": 0,
          "attributes": {
            "id": "00000000-0000-4000-8000-%012d",
            "input": {"value": %q, "type": "string"},
            "output": {"value": %q, "type": "string"},
            "triggers_replace": null
          },
          "sensitive_attributes": []
        }
      ]
    }`, i, i, filler, filler)
		if err != nil {
			return err
		}
		made += n
	}
	b.WriteString("\n  ],\n  \"check_results\": null\n}\n")
	return b.Flush()
}
