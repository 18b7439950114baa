//go:build race

package tfe

func init() { raceDetector = true }
