//go:build unix

package main

import (
	"os"
	"runtime"
	"syscall"
)

const exeSuffix = ""

// peakOf returns the largest resident set in bytes.
func peakOf(p *os.ProcessState) int64 {
	took, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(took.Maxrss)
	}
	return int64(took.Maxrss) << 10 // other systems count in KB
}
