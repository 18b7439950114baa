package command_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// completions returns the words that can follow.
func completions(t *testing.T, line string) []string {
	t.Helper()
	words := strings.Split(line, " ")
	last := len(words) - 1
	r := tfhaul(t, slices.Concat([]string{"complete", "--word=" + words[last], "--"}, words[:last])...)
	if r.code != 0 || r.stderr != "" {
		t.Errorf("%q: exit code %d: %s", line, r.code, r.stderr)
	}
	var follow []string
	for answer := range strings.Lines(r.stdout) {
		word, description, _ := strings.Cut(strings.TrimSuffix(answer, "\n"), "\t")
		follow = append(follow, word)
		if strings.HasPrefix(word, "--") && !strings.Contains(word, "=") && description == "" || strings.Contains(description, "`") {
			t.Errorf("%q: the description of %s is %q", line, word, description)
		}
	}
	return follow
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	const files, directories = ":files", ":directories"
	for line, want := range map[string]string{
		"mo": "move", "move --lock-t": "--lock-timeout", "move a.tfstate acme/net --dry": "--dry-run", "move -": "…--help",
		"move --on-failure ": "keep unlock", "move --on-failure=": "--on-failure=keep --on-failure=unlock", "move --on-failure=u": "--on-failure=unlock",
		"move --on-failure =": "keep unlock", "move --on-failure = k": "keep", "move --on-failure = keep --on-f": "", // as bash cuts them
		"move --upload s": "signed", "audit --fail-on ": "error warning info", "sim --personality ": "tfe hcp old-tfe lax",
		"plan --execution-mode ": "remote local agent", "plan --terraform-version ": "from-state latest", "--log-level ": "debug info warn error",
		"move --dry-run --dry": "", "audit --include a --incl": "--include", "move --dry-run=": "--dry-run=true --dry-run=false",
		"move ": files, "move a.tfstate ": "", "move --json a.tfstate acme/": "", "audit a b ": files, "audit --html ": files, "audit --html=": files,
		"report ": files, "verify ": files, "migrate --prove-dir ": directories, "move --backup-dir ": directories, "sim --data ": directories,
		"config ": "list show push", "config push ": directories, "config show ": "", "prove ": directories, "prove --run ": "",
		"completion ": "bash zsh fish powershell", "completion z": "zsh", "help rep": "report", "man rep": "report",
		"move -- ": files, "move -- --": files, "move --nonsense ": files, "nonsense ": "audit discover plan …", "move --create --target ": files, "audit --target ": "",
		"complete ": "", "--ver": "--version", "move a.tfstate ./": files, "move a.tfstate /t": files, "plan --target ./": files, "plan --target=./": files,
		"plan --target ac": "", "settings mig": "migrate",
	} {
		got := strings.Join(completions(t, line), " ")
		if head, some := strings.CutSuffix(want, "…"); some && strings.HasPrefix(got, head) {
			continue
		}
		if tail, some := strings.CutPrefix(want, "…"); some && strings.Contains(got, tail) {
			continue
		}
		if got != want {
			t.Errorf("%q completes to %q, want %q", line, got, want)
		}
	}
	if commands := completions(t, ""); !slices.Equal(commands, commandNames(t)) {
		t.Errorf("the commands are %q", commands)
	}
}

// shell returns a shell's path, and an environment in which it finds tfhaul.
func shell(t *testing.T, name string) (string, []string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil || runtime.GOOS == "windows" {
		t.Skipf("SKIPPED: there is no %s, so its completions are not tested", name)
	}
	dir := filepath.Dir(binary(t))
	return path, append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// hostileNames are files whose names would do harm if a shell evaluated them.
var hostileNames = []string{"$(touch pwned)", "`touch pwned`", "a;touch pwned", "a\ntouch pwned", "a b 'c\" &touch pwned", "~x", "-n"}

// hostileDirectory has these files. The test fails if completing ran what they are called.
func hostileDirectory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append(hostileNames, "plain.tfstate") {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
			t.Error("completing ran the name of a file")
		}
	})
	return dir
}

// shellScripts make a shell complete a line and print what it offers, a word a line. They
// read the line from the variable LINE.
var shellScripts = map[string]string{
	// bash itself has no command for it: the function is called as readline does.
	"bash": `source <(tfhaul completion bash)
compopt() { [[ $* != *"+o"* ]] && echo "(files)"; }
split=${LINE//=/ = }; read -ra COMP_WORDS <<<"$split"; [[ $split == *" " && $LINE != *= ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _tfhaul; printf '%s\n' "${COMPREPLY[@]}"`,
	// A terminal of its own runs an interactive zsh.
	"zsh": `zmodload zsh/zpty; zpty z zsh -f -i
zpty -w z 'stty rows 100 cols 100; PS1=; autoload -Uz compinit; compinit -u; source <(tfhaul completion zsh); LISTMAX=10000; bindkey "^X" done-typing; done-typing() { print; print THE-END; zle kill-buffer }; zle -N done-typing; zstyle ":completion:*" list-separator "#"; print THE-START'
zpty -r z out $'*\nTHE-START*'
zpty -w -n z "$LINE"$'\t\x18'
zpty -r z out '*THE-END*'
print -r -- "$out"`,
	"fish": `tfhaul completion fish | source; complete -C "$LINE"`,
}

// complete returns what a shell prints when it completes a line.
func complete(t *testing.T, name, dir, line string, environ ...string) string {
	t.Helper()
	path, env := shell(t, name)
	args := map[string][]string{"bash": {"--norc", "-c"}, "zsh": {"-f", "-c"}, "fish": {"--no-config", "-c"}}[name]
	ask := exec.CommandContext(t.Context(), path, append(args, shellScripts[name])...)
	ask.Dir, ask.Env = dir, slices.Concat(env, environ, []string{"LINE=" + line, "TERM=xterm", "HOME=" + dir})
	out, err := ask.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return string(out)
}

// TestShellsComplete asks the shells themselves.
func TestShellsComplete(t *testing.T) {
	t.Parallel()
	for name := range shellScripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := hostileDirectory(t)
			for line, wants := range map[string][]string{
				"tfhaul mo":                    {"move"},
				"tfhaul move --":               {"--dry-run", "--lock-timeout"},
				"tfhaul move --on-failure ":    {"keep", "unlock"},
				"tfhaul move --upload=s":       {"signed"},
				"tfhaul move x acme/net --dry": {"--dry-run"},
			} {
				out := complete(t, name, dir, line)
				for _, want := range wants {
					if !strings.Contains(out, want) {
						t.Errorf("%q completes to %q, want %s", line, out, want)
					}
				}
				if strings.Contains(out, "`") || strings.Contains(out, "plain.tfstate") {
					t.Errorf("%q completes to %q", line, out)
				}
				if described := strings.Contains(out, "write nothing"); line == "tfhaul move --" && described != (name != "bash") {
					t.Errorf("with descriptions: %v: %q", described, out)
				}
			}
			for _, line := range []string{"tfhaul move ", "tfhaul audit --html ", "tfhaul report "} {
				want := "plain.tfstate"
				if name == "bash" {
					want = "(files)" // by readline
				}
				if out := complete(t, name, dir, line); !strings.Contains(out, want) {
					t.Errorf("%q completes to %q, want %s", line, out, want)
				}
			}
			// zsh itself runs a $(command) that is typed before a tab, so that it is quoted.
			for _, line := range []string{`tfhaul move \$\(`, "tfhaul move '`t", `tfhaul audit --html=\$`, `tfhaul move \$\(touch\ pwned\) --js`, `tfhaul '$(touch pwned)' mo`, `tfhaul move a\;`, `tfhaul move --project='$(touch pwned)' --js`} {
				complete(t, name, dir, line)
			}
			for _, hostile := range hostileNames {
				if name != "zsh" && !strings.Contains(hostile, "\n") {
					complete(t, name, dir, "tfhaul move "+hostile)
				}
			}
		})
	}
}

// TestCompletionAsksNoServer has a host configured that counts its connections.
func TestCompletionAsksNoServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := listener.Accept(); err == nil {
			accepted <- c
		}
		close(accepted)
	}()
	for _, line := range []string{"tfhaul move x ", "tfhaul move --target ", "tfhaul history ", "tfhaul --"} {
		complete(t, "bash", t.TempDir(), line, "TFE_ADDRESS=http://"+listener.Addr().String(), "TFE_TOKEN=x")
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if c, asked := <-accepted; asked {
		_ = c.Close()
		t.Error("completing sent a request")
	}
}

// TestCompletionInSpiteOfMistakes has a variable and a settings file that no command accepts.
func TestCompletionInSpiteOfMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, ".tfhaul.hcl")
	if err := os.WriteFile(path, []byte("nonsense = {"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"complete", "--word=--dry", "--", "move"}, {"help", "move"}, {"move", "--help"}, {"man", "move"}} {
		run := exec.CommandContext(t.Context(), binary(t), args...)
		run.Env = append(os.Environ(), "TFHAUL_CONFIG="+path, "TFHAUL_DRY_RUN=perhaps")
		if out, err := run.CombinedOutput(); err != nil || !strings.Contains(strings.ReplaceAll(string(out), `\-`, "-"), "--dry-run") {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		r := tfhaul(t, "completion", shell)
		if r.code != 0 || !strings.Contains(r.stdout, " complete --word=") && shell != "powershell" {
			t.Errorf("%s: exit code %d: %s", shell, r.code, r.stderr)
		}
		if path, err := exec.LookPath(shell); err == nil && shell != "powershell" {
			check := exec.CommandContext(t.Context(), path, "-n")
			check.Stdin = strings.NewReader(r.stdout)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s does not take its script: %v\n%s", shell, err, out)
			}
		}
		for _, evaluates := range []string{"eval", "Invoke-Expression ", "compgen -W"} {
			if _, script, _ := strings.Cut(r.stdout, "\n"); strings.Contains(script, evaluates) {
				t.Errorf("%s: the script evaluates what it is given: %s", shell, evaluates)
			}
		}
	}
	if r := tfhaul(t, "completion", "powershell"); !strings.Contains(r.stdout, `@('complete', "--word=$wordToComplete", '--')`) || !strings.Contains(r.stdout, "Register-ArgumentCompleter -Native -CommandName tfhaul") {
		t.Errorf("the script for PowerShell is %s", r.stdout)
	}
	if r := tfhaul(t, "completion", "cmd"); r.code != 4 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}
