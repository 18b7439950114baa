package tfe

import "tfhaul/backend"

// A Target plays every role.
var _ interface {
	backend.Target
	backend.Creator
	backend.Checker
	backend.Decoder
} = (*Target)(nil)
