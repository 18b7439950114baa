//go:build race

package target

func init() { raceDetector = true }
