//go:build unix

package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	commandLine = regexp.MustCompile("(?m)^ {4,}(tfhaul [a-z].*)$|`(tfhaul [a-z][^`\n]*)`")
	commandWord = regexp.MustCompile(`^[a-z]+$`)
	commandFlag = regexp.MustCompile(`(?:^|\s)(--[a-z][a-z-]*)`)
	commandEnd  = regexp.MustCompile(`\s(?:#|&&|\|\|?|>|;)(?:\s.*)?$|\s\(.*$`)
)

// TestCommandsInDocumentsExist checks the commands that no test runs: those in indented
// blocks and in sentences. Each must be a command of tfhaul, and have the flags.
func TestCommandsInDocumentsExist(t *testing.T) {
	help := map[string]string{}
	helpOf := func(words ...string) string {
		key := strings.Join(words, " ")
		if _, known := help[key]; !known {
			out, err := exec.Command(program, append([]string{"help"}, words...)...).Output()
			if err != nil {
				out = nil
			}
			help[key] = string(out)
		}
		return help[key]
	}
	checked := 0
	for _, path := range documents(t) {
		if filepath.Base(path) == "commands.md" {
			continue // it is the help itself
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range commandLine.FindAllStringSubmatch(string(text), -1) {
			line := commandEnd.ReplaceAllString(m[1]+m[2], "")
			words := strings.Fields(line)[1:]
			text := helpOf(words[0])
			if text == "" {
				t.Errorf("%s: there is no such command: %s", path, line)
				continue
			}
			if len(words) > 1 && commandWord.MatchString(words[1]) && words[0] != "help" {
				text += helpOf(words[0], words[1])
			}
			for _, flag := range commandFlag.FindAllStringSubmatch(line, -1) {
				if !regexp.MustCompile(`(?m)^  (-., )?` + flag[1] + `\b`).MatchString(text) {
					t.Errorf("%s: the command has no flag %s: %s", path, flag[1], line)
				}
			}
			checked++
		}
	}
	if checked < 60 {
		t.Errorf("only %d commands were found", checked)
	}
}
