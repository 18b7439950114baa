package statefile_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"tfhaul/fixtures"
	"tfhaul/statefile"
)

func TestReadReturnsTheReadersError(t *testing.T) {
	broken := errors.New("connection lost")
	for _, length := range []int{0, 100, 300_000} {
		data := fixtures.Spec{MinSize: 400_000}.Bytes()[:length]
		s, err := statefile.Read(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", length, err)
		}
		if _, ok := errors.AsType[*statefile.Error](err); ok {
			t.Errorf("after %d bytes the error blames the file: %v", length, err)
		}
		sum := md5.Sum(data)
		if s.Size != int64(length) || s.MD5 != hex.EncodeToString(sum[:]) {
			t.Errorf("after %d bytes: size %d, MD5 %s", length, s.Size, s.MD5)
		}
	}
}

func TestSmallRefusedFilesAreReadToTheEnd(t *testing.T) {
	data := append([]byte("{]"), fixtures.Spec{MinSize: 1 << 20}.Bytes()...)
	s, err := statefile.Read(bytes.NewReader(data))
	sum := md5.Sum(data)
	if err == nil || s.Size != int64(len(data)) || s.MD5 != hex.EncodeToString(sum[:]) {
		t.Errorf("size %d of %d, error %v", s.Size, len(data), err)
	}
}

// endless returns a beginning and then zeros, like a sparse file, and counts them.
type endless struct {
	begin string
	read  int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.begin)
	e.begin = e.begin[n:]
	clear(p[n:])
	e.read += int64(len(p))
	return len(p), nil
}

func TestLargeRefusedFilesAreNotReadToTheEnd(t *testing.T) {
	const most = 5 << 20
	for name, begin := range map[string]string{
		"zeros":                      "",
		"a zip archive":              "PK\x03\x04",
		"encrypted":                  "$ANSIBLE_VAULT;1.1;AES256\n",
		"a truncated state":          `{"version":4,"serial":7,"lineage":"l","resources":[`,
		"a state with trailing data": `{"version":4,"serial":7,"lineage":"l","terraform_version":"1.9.0"}`,
	} {
		t.Run(name, func(t *testing.T) {
			in := &endless{begin: begin}
			s, err := statefile.Read(in)
			if _, refused := errors.AsType[*statefile.Error](err); !refused {
				t.Fatalf("not refused: %v", err)
			}
			if in.read > most {
				t.Errorf("read %d bytes, more than %d", in.read, most)
			}
			if s.MD5 != "" || s.Size != 0 {
				t.Errorf("size %d, MD5 %q of a file that was not read to its end", s.Size, s.MD5)
			}
			in = &endless{begin: begin}
			if _, err := statefile.ReadContent(in); err == nil || in.read > most {
				t.Errorf("its content: read %d bytes: %v", in.read, err)
			}
		})
	}
}

func TestReadWholeDigestsRefusedFilesOfAnySize(t *testing.T) {
	const length = 9 << 20
	s, err := statefile.ReadWhole(io.LimitReader(&endless{}, length))
	sum := md5.Sum(make([]byte, length))
	if err == nil || s.Size != length || s.MD5 != hex.EncodeToString(sum[:]) {
		t.Errorf("size %d, MD5 %s, error %v", s.Size, s.MD5, err)
	}
}

func TestErrorsInLargeFilesHaveALine(t *testing.T) {
	data := fixtures.Spec{MinSize: 3 << 20}.Bytes()
	// Break the first line of the last resource.
	at := bytes.LastIndex(data, []byte(`"mode"`))
	data[at] = 'x'
	_, err := statefile.Read(bytes.NewReader(data))
	refusal, ok := errors.AsType[*statefile.Error](err)
	if !ok {
		t.Fatal(err)
	}
	line := int64(bytes.Count(data[:at], []byte("\n")) + 1)
	column := int64(at - bytes.LastIndexByte(data[:at], '\n'))
	if refusal.Line != line || refusal.Offset != int64(at) || refusal.Column != column {
		t.Errorf("offset %d, line %d, column %d; want %d, %d, %d", refusal.Offset, refusal.Line, refusal.Column, at, line, column)
	}
}

func TestReadIsSafeForConcurrentUse(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			spec := fixtures.Spec{Serial: int64(i), Seed: uint64(i), MinSize: int64(i) * 60_000, Outputs: i}
			digest := md5.New()
			size, _ := spec.WriteTo(digest) // a hash never fails
			sum := hex.EncodeToString(digest.Sum(nil))
			for range 3 {
				s, err := statefile.Read(spec.Reader())
				if err != nil || s.Serial != spec.Serial || s.Lineage != spec.LineageOf() || s.MD5 != sum || s.Size != size || s.Contents.Outputs != i {
					t.Errorf("state %d: %+v, %v", i, s, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestContentsOfAGeneratedState(t *testing.T) {
	s, err := statefile.Read(fixtures.Spec{Serial: 1, Resources: 200, Outputs: 9}.Reader())
	if err != nil {
		t.Fatal(err)
	}
	c := s.Contents
	if c.Resources() != 200 || c.Data != 32 || c.Modules != 2 || c.Outputs != 9 || c.SensitiveOutputs != 3 || c.SensitiveAttributes == 0 || c.Instances <= 200 || len(c.Providers) != 4 {
		t.Errorf("%+v", c)
	}
}

func TestBumpReplacesOnlyTheEffectiveSerial(t *testing.T) {
	for name, c := range map[string]struct{ state, want string }{
		"nested serials are kept":     {`{"version": 4, "x": {"serial": 7}, "serial": 9, "y": [{"serial": 9}]}`, `{"version": 4, "x": {"serial": 7}, "serial": 1000, "y": [{"serial": 9}]}`},
		"the last of several counts":  {`{"version":4,"serial":1,"SERIAL":2}`, `{"version":4,"serial":1,"SERIAL":1000}`},
		"a later null does not count": {`{"version":4,"serial":1,"serial":null}`, `{"version":4,"serial":1000,"serial":null}`},
		"minus zero in format 3":      {`{"version":3,"serial":-0}`, `{"version":3,"serial":1000}`},
		"unusual whitespace":          {"{\"version\":4,\"serial\" \t:\r\n 41\n}\n\n", "{\"version\":4,\"serial\" \t:\r\n 1000\n}\n\n"},
		"at the start":                {`{"serial":41,"version":4}`, `{"serial":1000,"version":4}`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := statefile.Read(strings.NewReader(c.state))
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(s.Bump(strings.NewReader(c.state), 1000), []byte(c.want)); err != nil {
				t.Error(err)
			}
			if err := iotest.TestReader(s.Bump(iotest.DataErrReader(strings.NewReader(c.state)), 1000), []byte(c.want)); err != nil {
				t.Error("if EOF comes with the last bytes:", err)
			}
		})
	}
}

func TestBumpFailsIfTheFileChanged(t *testing.T) {
	const state = `{"version":4,"serial":41,"lineage":"a"}`
	broken := errors.New("connection lost")
	for name, c := range map[string]struct {
		read   string
		again  io.Reader
		serial int64
		check  func(error) bool
	}{
		"no serial":             {`{"version":4}`, strings.NewReader(`{"version":4}`), 5, isKind(statefile.KindNoSerial)},
		"null as serial":        {`{"version":4,"serial":null}`, strings.NewReader(`{"version":4,"serial":null}`), 5, isKind(statefile.KindNoSerial)},
		"negative":              {state, strings.NewReader(state), -1, isKind(statefile.KindSerialOutOfRange)},
		"too large":             {state, strings.NewReader(state), statefile.MaxSerial + 1, isKind(statefile.KindSerialOutOfRange)},
		"different serial":      {state, strings.NewReader(strings.Replace(state, "41", "42", 1)), 43, isChanged},
		"longer serial":         {state, strings.NewReader(strings.Replace(state, "41", "141", 1)), 143, isChanged},
		"shorter":               {state, strings.NewReader(state[:len(state)-1]), 43, isChanged},
		"cut before the serial": {state, strings.NewReader(state[:10]), 43, isChanged},
		"cut in the digits":     {state, strings.NewReader(state[:23]), 43, isChanged},
		"longer":                {state, strings.NewReader(state + "\n"), 43, isChanged},
		"empty":                 {state, strings.NewReader(""), 43, isChanged},
		"failing":               {state, io.MultiReader(strings.NewReader(state[:30]), iotest.ErrReader(broken)), 43, func(err error) bool { return errors.Is(err, broken) }},
		"failing reader":        {state, io.MultiReader(strings.NewReader(state[:23]), iotest.ErrReader(broken)), 43, func(err error) bool { return errors.Is(err, broken) }},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := statefile.Read(strings.NewReader(c.read))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(s.Bump(c.again, c.serial)); !c.check(err) {
				t.Errorf("%d bytes, error %v", len(got), err)
			}
		})
	}
}

func isKind(kind statefile.Kind) func(error) bool {
	return func(err error) bool {
		refusal, ok := errors.AsType[*statefile.Error](err)
		return ok && refusal.Kind == kind
	}
}

func isChanged(err error) bool { return errors.Is(err, statefile.ErrChanged) }

func TestHostileFilesUseLimitedMemory(t *testing.T) {
	many := func(n int, f string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, f, i)
		}
		return b.String()
	}
	s, err := statefile.Read(strings.NewReader(`{"version":4,"resources":[{"mode":"managed"}` + many(100_000, `,{"mode":"data","module":"module.m%[1]d","provider":"provider[\"h/n/p%[1]d\"]"}`) + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Contents.Data != 100_000 || s.Contents.Managed != 1 || s.Contents.Modules != 100_000 || len(s.Contents.Providers) > 5000 {
		t.Errorf("%d resources, %d modules, %d providers", s.Contents.Data, s.Contents.Modules, len(s.Contents.Providers))
	}
}
