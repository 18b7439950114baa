package main

import "os"

const exeSuffix = ".exe"

// peakOf is 0: Windows does not tell it with the end of a process.
func peakOf(*os.ProcessState) int64 { return 0 }
