package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/command"
)

// A file that sim did not write is a usage error, and stays as it is.
func TestSimLeavesForeignEnvFileAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "profile")
	const content = "alias ll='ls -l'\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := command.Run(t.Context(), nil, []string{"tfhaul", "sim", "--env-file", file}, nil, &stdout, &stderr, nil)
	if code != 4 || !strings.Contains(stderr.String(), "was not written by tfhaul sim") {
		t.Errorf("exit code %d, want 4: %s", code, stderr.String())
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != content {
		t.Errorf("the file was changed: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("%d files are there, want 1: %v", len(entries), err)
	}
}

// Without --allow-runs nothing of a configuration is executed, and who asks for a run is
// told what to do. A request may be as large as a real server's proxy lets it be.
func TestSimRefusesRunsAndHugeBodies(t *testing.T) {
	t.Parallel()
	envFile := filepath.Join(t.TempDir(), "sim.env")
	lines, end := serve(t, "sim", "--org=acme", "--env-file", envFile)
	if !lines.Scan() {
		t.Fatal("the server does not start")
	}
	environ := readEnvFile(t, envFile)
	tfhaul := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := command.Run(t.Context(), nil, append([]string{"tfhaul"}, args...), nil, &out, &out, environ)
		return code, strings.Join(strings.Fields(out.String()), " ")
	}
	small := write(t, "terraform.tfstate", state(1, 10))
	if code, said := tfhaul("move", small, "acme/net", "--create", "--execution-mode", "remote"); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	configuration, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	writeFile(t, filepath.Join(configuration, "main.tf"), []byte(`resource "terraform_data" "a" {
  provisioner "local-exec" { command = "touch '`+ran+`'" }
}`))
	if code, said := tfhaul("prove", "--logs", configuration, "acme/net"); code == 0 || !strings.Contains(said, "--allow-runs") {
		t.Errorf("prove: exit code %d: %s", code, said)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the configuration was executed")
	}

	large := write(t, "large.tfstate", []byte(`{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"`+strings.Repeat("a", 36)+
		`","outputs":{"a":{"value":"`+strings.Repeat("x", 49<<20)+`","type":"string"}},"resources":[]}`))
	if code, said := tfhaul("move", large, "acme/large", "--create", "--upload", "inline"); code != 1 || !strings.Contains(said, "413") {
		t.Errorf("inline: exit code %d: %.500s", code, said)
	}
	if code, said := tfhaul("move", large, "acme/large"); code != 0 {
		t.Errorf("by the signed upload: exit code %d: %.500s", code, said)
	}
	if code, stderr := end(); code != 0 || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
