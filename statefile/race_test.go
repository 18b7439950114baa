//go:build race

package statefile_test

func init() { raceDetector = true }
