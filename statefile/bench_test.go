package statefile_test

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"tfhaul/fixtures"
	"tfhaul/statefile"
)

// BenchmarkRead measures MB/s and allocations from a typical state to a very large one.
// Compare it with BenchmarkMD5 and BenchmarkEncodingJSON.
func BenchmarkRead(b *testing.B) {
	for _, size := range benchmarkSizes {
		data := fixtures.Spec{MinSize: size.bytes, Outputs: 5}.Bytes()
		b.Run(size.name, func(b *testing.B) {
			benchmarkRead(b, data, nil)
		})
	}
	data := fixtures.Spec{MinSize: 32 << 20}.Bytes()
	b.Run("32MB with a visitor", func(b *testing.B) {
		benchmarkRead(b, data, &statefile.Visitor{Resource: func(statefile.Resource) {}, Output: func(statefile.Output) {}})
	})
	b.Run("a string of 32MB", func(b *testing.B) {
		benchmarkRead(b, []byte(`{"version":4,"a":"`+strings.Repeat("0123456789abcdef", 2<<20)+`"}`), nil)
	})
	b.Run("a string of escapes of 32MB", func(b *testing.B) {
		benchmarkRead(b, []byte(`{"version":4,"a":"`+strings.Repeat(`\"abc\n\"def\\ghi`, 2<<20)+`"}`), nil)
	})
}

var benchmarkSizes = []struct {
	name  string
	bytes int64
}{{"181B", 0}, {"40KB", 40_000}, {"1MB", 1 << 20}, {"32MB", 32 << 20}}

func benchmarkRead(b *testing.B, data []byte, visitor *statefile.Visitor) {
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := statefile.Inspect(bytes.NewReader(data), visitor); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMD5(b *testing.B) {
	data := fixtures.Spec{MinSize: 32 << 20}.Bytes()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		md5.Sum(data)
	}
}

func BenchmarkEncodingJSON(b *testing.B) {
	data := fixtures.Spec{MinSize: 32 << 20}.Bytes()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var s terraformV4
		if err := json.Unmarshal(data, &s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBump(b *testing.B) {
	data := fixtures.Spec{MinSize: 32 << 20}.Bytes()
	s, err := statefile.Read(bytes.NewReader(data))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.Copy(io.Discard, s.Bump(bytes.NewReader(data), 1000)); err != nil {
			b.Fatal(err)
		}
	}
}
