//go:build linux

package s3_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tfhaul/fixtures"
	"tfhaul/fixtures/testenv"
	"tfhaul/tfesim"
)

// maxPeak is less than the memory of the program at its start and one copy of the smaller state.
const maxPeak = 64 << 20

// TestLargeStatesLeave moves a large state out of a workspace into a file and into a bucket. The
// program holds no copy of it in memory.
func TestLargeStatesLeave(t *testing.T) {
	if testing.Short() {
		t.Skip("moves a large state")
	}
	size := int64(60 << 20)
	if testenv.Full() {
		size = 200 << 20
	}
	program := buildProgram(t)
	state, err := io.ReadAll(fixtures.Spec{Seed: 1, Serial: 3, MinSize: size}.Reader())
	if err != nil {
		t.Fatal(err)
	}
	sim, err := tfesim.New(tfesim.Options{Organizations: []string{haulOrg}, Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	running, err := sim.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(running.Close(), sim.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, err := sim.Seed(haulOrg, "large", state); err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, running.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	want := md5Of(state)
	environ := append(os.Environ(), "HOME="+t.TempDir(), "TFE_ADDRESS="+running.URL(), "TFE_TOKEN="+sim.Token(tfesim.Owner), "TFHAUL_CA_FILE="+authority)
	file := filepath.Join(t.TempDir(), "large.tfstate")
	l := lockFileOnly(t)
	for _, to := range []struct {
		name, target string
		open         func() (io.ReadCloser, error)
	}{
		{"file", file, func() (io.ReadCloser, error) { return os.Open(file) }},
		{"bucket", l.bucket.ref("large.tfstate", l.params...), func() (io.ReadCloser, error) {
			key := "large.tfstate"
			out, err := gateway.client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &l.bucket.name, Key: &key})
			if err != nil {
				return nil, err
			}
			return out.Body, nil
		}},
	} {
		t.Run(to.name, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), program, "move", "tfe://"+haulOrg+"/large", to.target)
			child.Env = environ
			var said bytes.Buffer
			child.Stdout, child.Stderr = &said, &said
			var mu sync.Mutex // until the child has started
			mu.Lock()
			peak := int64(0)
			sim.OnRequest(func(tfesim.Request) { // the last one comes after the state was read back
				mu.Lock()
				defer mu.Unlock()
				peak = max(peak, peakMemory(int64(child.Process.Pid)))
			})
			err := child.Start()
			mu.Unlock()
			if err == nil {
				err = child.Wait()
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, tail(said.String()))
			}
			in, err := to.open()
			if err != nil {
				t.Fatal(err)
			}
			sum := md5.New()
			_, err = io.Copy(sum, in)
			if err := errors.Join(err, in.Close()); err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(sum.Sum(nil)); got != want {
				t.Errorf("it has the MD5 %s, want %s", got, want)
			}
			mu.Lock()
			defer mu.Unlock()
			t.Logf("%d MB took %d MB of memory", len(state)>>20, peak>>20)
			if peak == 0 || peak > maxPeak {
				t.Errorf("the peak was %d MB, want at most %d", peak>>20, maxPeak>>20)
			}
		})
	}
}
