package statefile

import (
	"hash/maphash"
	"math/bits"
)

// A hashSet holds 64-bit hashes in 9 to 14 bytes each. Two objects of a million have the
// same hash in 1 of 30 million states.
type hashSet struct {
	slots []uint64 // 0 marks an empty slot
	count int
}

// add adds a hash, and reports whether it is new.
func (s *hashSet) add(h uint64) bool {
	if h == 0 {
		h = 1
	}
	if s.count*8 >= len(s.slots)*7 {
		s.grow()
	}
	if !s.put(h) {
		return false
	}
	s.count++
	return true
}

// put places a hash near the position that its value points to, which keeps the set
// nearly sorted.
func (s *hashSet) put(h uint64) bool {
	at, _ := bits.Mul64(h, uint64(len(s.slots)))
	for s.slots[at] != 0 {
		if s.slots[at] == h {
			return false
		}
		if at++; at == uint64(len(s.slots)) {
			at = 0
		}
	}
	s.slots[at] = h
	return true
}

func (s *hashSet) grow() { s.growTo(max(128, len(s.slots)+len(s.slots)/2)) }

// reserve makes room for n more hashes if that takes more than doubling once, so that a
// large resource allocates only the final table.
func (s *hashSet) reserve(n int) {
	if room := (s.count+n)*8/7 + 1; room > len(s.slots)+len(s.slots)/2 {
		s.growTo(max(128, room))
	}
}

func (s *hashSet) growTo(room int) {
	old := s.slots
	s.slots = make([]uint64, room)
	for _, h := range old {
		if h != 0 {
			s.put(h)
		}
	}
}

// combine combines two hashes.
func combine(a, b uint64) uint64 { return a + b*0x9e3779b97f4a7c15 }

// hashOf hashes texts so that their boundaries count.
func (d *document) hashOf(texts ...[]byte) uint64 {
	d.scratch = d.scratch[:0]
	for _, t := range texts {
		d.scratch = appendLong(d.scratch, t)
	}
	return maphash.Bytes(distinctSeed, d.scratch)
}

// appendLong appends a text preceded by its length.
func appendLong(b, text []byte) []byte {
	n := len(text)
	return append(append(b, byte(n), byte(n>>8), byte(n>>16)), text...)
}
