package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// describeMachine describes the hardware and software without naming the machine.
func describeMachine() string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if m := firstMatch("/proc/cpuinfo", `model name\s*:\s*(.+)`); m != "" {
		parts[0] += " (" + m + ")"
	} else if out, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil {
		parts[0] += " (" + strings.TrimSpace(string(out)) + ")"
	}
	var kb int64
	if _, err := fmt.Sscan(firstMatch("/proc/meminfo", `MemTotal:\s*(\d+)`), &kb); err == nil {
		parts = append(parts, fmt.Sprintf("%.0f GB of memory", float64(kb)/1e6))
	}
	system := runtime.GOOS + "/" + runtime.GOARCH
	if name := firstMatch("/etc/os-release", `PRETTY_NAME="(.+)"`); name != "" {
		system = name + ", " + system
	}
	return strings.Join(append(parts, system, runtime.Version()), ", ")
}

// firstMatch returns the first group of a pattern in a file, or "".
func firstMatch(file, pattern string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	m := regexp.MustCompile(pattern).FindSubmatch(content)
	if m == nil {
		return ""
	}
	return strings.TrimSpace(string(m[1]))
}
