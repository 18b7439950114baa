package statefile

import (
	"bytes"
	"hash"
	"testing"
)

type panickingHash struct{ hash.Hash }

func (panickingHash) Write([]byte) (int, error) { panic("ours") }

// The hashing goroutine has no handler for a panic; the caller may have one.
func TestHashPanicsReachTheReader(t *testing.T) {
	in := intake{md5: panickingHash{newIntake().md5}}
	in.open(bytes.NewReader(make([]byte, (parallelFrom+8)*chunkSize)))
	in.chunks = parallelFrom + 1 // a large file
	defer func() {
		if v := recover(); v != "ours" {
			t.Errorf("recovered %v, want the hash's own panic", v)
		}
	}()
	defer in.close() // must not block
	for in.next() != nil {
	}
	in.join()
}
