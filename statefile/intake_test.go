package statefile

import (
	"bytes"
	"hash"
	"testing"
)

type panickingHash struct{ hash.Hash }

func (panickingHash) Write([]byte) (int, error) { panic("ours") }

// The hashing goroutine has nobody to report a panic to; whoever reads the file has.
func TestPanicsOfTheHashReachTheReader(t *testing.T) {
	in := intake{md5: panickingHash{newIntake().md5}}
	in.open(bytes.NewReader(make([]byte, (besideFrom+8)*chunkSize)))
	in.chunks = besideFrom + 1 // a large file
	defer func() {
		if v := recover(); v != "ours" {
			t.Errorf("recovered %v, want the hash's own panic", v)
		}
	}()
	defer in.close() // must not wait for ever
	for in.next() != nil {
	}
	in.join()
}
