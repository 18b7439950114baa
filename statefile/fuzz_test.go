package statefile_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tfhaul/fixtures"
	"tfhaul/statefile"
)

// The types that Terraform 1.11 decodes states into, as far as this package checks them.
type (
	terraformVersionOnly struct {
		Version *uint64 `json:"version"`
	}
	terraformV4 struct {
		TerraformVersion string                       `json:"terraform_version"`
		Serial           uint64                       `json:"serial"`
		Lineage          string                       `json:"lineage"`
		Outputs          map[string]terraformV4Output `json:"outputs"`
		Resources        []terraformV4Resource        `json:"resources"`
		CheckResults     []struct {
			ObjectKind string `json:"object_kind"`
			ConfigAddr string `json:"config_addr"`
			Status     string `json:"status"`
			Objects    []struct {
				ObjectAddr      string   `json:"object_addr"`
				Status          string   `json:"status"`
				FailureMessages []string `json:"failure_messages"`
			} `json:"objects"`
		} `json:"check_results"`
	}
	terraformV4Output struct {
		Value     json.RawMessage `json:"value"`
		Type      json.RawMessage `json:"type"`
		Sensitive bool            `json:"sensitive"`
	}
	terraformV4Resource struct {
		Module    string                `json:"module"`
		Mode      string                `json:"mode"`
		Type      string                `json:"type"`
		Name      string                `json:"name"`
		Each      string                `json:"each"`
		Provider  string                `json:"provider"`
		Instances []terraformV4Instance `json:"instances"`
	}
	terraformV4Instance struct {
		IndexKey            any               `json:"index_key"`
		Status              string            `json:"status"`
		Deposed             string            `json:"deposed"`
		SchemaVersion       uint64            `json:"schema_version"`
		Attributes          json.RawMessage   `json:"attributes"`
		AttributesFlat      map[string]string `json:"attributes_flat"`
		SensitiveAttributes json.RawMessage   `json:"sensitive_attributes"`
		Private             []byte            `json:"private"`
		Dependencies        []string          `json:"dependencies"`
		CreateBeforeDestroy bool              `json:"create_before_destroy"`
	}
	terraformV1 struct {
		Serial  int64             `json:"serial"`
		Remote  *terraformRemote  `json:"remote"`
		Modules []json.RawMessage `json:"modules"`
	}
	terraformV3 struct {
		TerraformVersion string            `json:"terraform_version"`
		Serial           int64             `json:"serial"`
		Lineage          string            `json:"lineage"`
		Remote           *terraformRemote  `json:"remote"`
		Backend          *terraformRemote  `json:"backend"`
		Modules          []json.RawMessage `json:"modules"`
	}
	terraformRemote struct {
		Type string `json:"type"`
	}
)

// The modules of formats 1 to 3 in full.
type (
	terraformV1Modules struct {
		Modules []*struct {
			Path      []string          `json:"path"`
			Outputs   map[string]string `json:"outputs"`
			Resources map[string]*struct {
				Type      string                 `json:"type"`
				DependsOn []string               `json:"depends_on"`
				Primary   *terraformV1Instance   `json:"primary"`
				Tainted   []*terraformV1Instance `json:"tainted"`
				Deposed   []*terraformV1Instance `json:"deposed"`
				Provider  string                 `json:"provider"`
			} `json:"resources"`
			DependsOn []string `json:"depends_on"`
		} `json:"modules"`
	}
	terraformV1Instance struct {
		ID         string            `json:"id"`
		Attributes map[string]string `json:"attributes"`
		Meta       map[string]string `json:"meta"`
	}
	terraformV3Modules struct {
		Modules []*struct {
			Path    []string `json:"path"`
			Outputs map[string]*struct {
				Sensitive bool   `json:"sensitive"`
				Type      string `json:"type"`
				Value     any    `json:"value"`
			} `json:"outputs"`
			Resources map[string]*struct {
				Type      string                 `json:"type"`
				DependsOn []string               `json:"depends_on"`
				Primary   *terraformV3Instance   `json:"primary"`
				Deposed   []*terraformV3Instance `json:"deposed"`
				Provider  string                 `json:"provider"`
			} `json:"resources"`
			DependsOn []string `json:"depends_on"`
		} `json:"modules"`
	}
	terraformV3Instance struct {
		ID         string            `json:"id"`
		Attributes map[string]string `json:"attributes"`
		Meta       map[string]any    `json:"meta"`
		Tainted    bool              `json:"tainted"`
	}
)

// modulesReadable reports whether Terraform can read the modules of a state of format 1
// to 3.
func modulesReadable(format int, data []byte) bool {
	if format == 1 {
		return json.Unmarshal(data, &terraformV1Modules{}) == nil
	}
	return json.Unmarshal(data, &terraformV3Modules{}) == nil
}

// A header is what both readers must agree on.
type header struct {
	format           int
	serial           int64
	lineage, version string
}

// readLikeTerraform returns the header as Terraform reads it, and reports whether
// Terraform can read the file.
func readLikeTerraform(data []byte) (h header, v4 *terraformV4, ok bool) {
	var sniffed terraformVersionOnly
	if json.Unmarshal(data, &sniffed) != nil || sniffed.Version == nil {
		return h, nil, false
	}
	switch *sniffed.Version {
	case 1:
		var s terraformV1
		if json.Unmarshal(data, &s) != nil {
			return h, nil, false
		}
		return header{format: 1, serial: s.Serial}, nil, s.Serial >= 0
	case 2, 3:
		var s terraformV3
		if json.Unmarshal(data, &s) != nil {
			return h, nil, false
		}
		return header{int(*sniffed.Version), s.Serial, s.Lineage, s.TerraformVersion}, nil, s.Serial >= 0
	case 4:
		var s terraformV4
		if json.Unmarshal(data, &s) != nil {
			return h, nil, false
		}
		// Above 2^63 the conversion is wrong, but such serials are refused anyway.
		return header{4, int64(s.Serial), s.Lineage, s.TerraformVersion}, &s, true
	}
	return h, nil, false
}

// addSeeds adds all samples and some other shapes.
func addSeeds(f *testing.F) {
	for _, s := range fixtures.Samples() {
		if data := s.Bytes(); len(data) < 20_000 {
			f.Add(data)
		}
	}
	f.Add(fixtures.Spec{Resources: 2, Outputs: 3, Serial: 5}.Bytes())
	for _, s := range []string{
		`{"version":4,"serial":-0}`, `{"version":3,"serial":-0}`, `{"serial":1,"version":3,"remote":5}`,
		`{"version":4,"serial":5,"serial":1e2}`, `{"VERSION":4,"ſERIAL":3,"lineage":"\ud83d","lineage":null}`,
		`{"version":4,"resources":[null,{"instances":null},{"instances":[null]}]}`,
		`{"version":2,"modules":[null,{"path":null,"resources":{"a.b":null},"outputs":{"x":null}}]}`,
		`{"version":1,"modules":[{"path":["root"],"outputs":{"a":"b"},"resources":{"data.a":{"primary":null}}}]}`,
		`{"version":1,"modules":[{"resources":{"a.b":{"tainted":true}}}]}`, `{"version":3,"modules":[{"resources":{"a.b":{"tainted":true}}}]}`,
		`{"version":1,"modules":[{"resources":{"a.b":{"tainted":[{"id":5}],"primary":{"tainted":5}}}}]}`, `{"version":2,"modules":[{"resources":{"a.b":{"tainted":[{"id":5}],"primary":{"tainted":5}}}}]}`,
		`{"version":3,"modules":[{"resources":{"a.b":{"primary":{"id":5}}}}]}`, `{"version":1,"modules":[{"resources":{"a.b":{"primary":{"meta":{"a":1}}}}}]}`,
		`{"version":3,"modules":[{"resources":{"a.b":{"primary":{"meta":{"a":1},"attributes":{"a":1}}}}}]}`, `{"version":3,"modules":[{"outputs":{"a":"b"}}]}`, `{"version":1,"modules":[{"outputs":{"a":{}}}]}`,
		" \n{\"version\" : 4 , \"lineage\" : \"\\u0041\\/\" }\t\n", `{"version":4}{`, `{"version":4,"x":"\x"}`, `{"version":4,"x":01}`,
	} {
		f.Add([]byte(s))
	}
}

func FuzzRead(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := statefile.Read(bytes.NewReader(data))
		sum := md5.Sum(data)
		if got.MD5 != hex.EncodeToString(sum[:]) || got.Size != int64(len(data)) {
			t.Fatalf("MD5 %s, size %d", got.MD5, got.Size)
		}
		refusal, isRefusal := errors.AsType[*statefile.Error](err)
		if err != nil && (!isRefusal || refusal.Code() == "" || refusal.Offset > got.Size) {
			t.Fatalf("%T %v", err, err)
		}
		want, v4, ok := readLikeTerraform(data)
		if err == nil && !ok {
			t.Fatal("accepted, but Terraform rejects it")
		}
		if err == nil {
			if h := (header{got.Format, got.Serial, got.Lineage, got.TerraformVersion}); h != want {
				t.Fatalf("got %+v, want %+v", h, want)
			}
			if v4 != nil {
				compareContents(t, got, v4)
			}
			if _, err := statefile.Inspect(bytes.NewReader(data), &statefile.Visitor{
				Resource: func(statefile.Resource) {}, Output: func(statefile.Output) {},
			}); err != nil {
				t.Fatal("refused only with a visitor:", err)
			}
		}
		if ok && isRefusal && !mayRefuse[refusal.Kind] {
			// readLikeTerraform does not decode modules.
			if refusal.Kind != statefile.KindWrongType || want.format == 4 || modulesReadable(want.format, data) {
				t.Fatal("refused, but Terraform reads it:", err)
			}
		}
		if err == nil && want.format < 4 && !modulesReadable(want.format, data) {
			t.Fatal("accepted, but Terraform rejects its modules")
		}
		if isRefusal && json.Valid(data) {
			switch refusal.Kind {
			case statefile.KindTruncated, statefile.KindNotJSON, statefile.KindTrailingGarbage, statefile.KindTooDeep:
				t.Fatal("valid JSON is refused:", err)
			}
		}
		// Smaller reads must give the same result.
		again, errAgain := statefile.Read(iotest.OneByteReader(bytes.NewReader(data)))
		if len(data) < 4096 && (again.MD5 != got.MD5 || again.Serial != got.Serial || (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error()) {
			t.Fatalf("read byte by byte: %v, in one piece: %v", errAgain, err)
		}
	})
}

// mayRefuse are the kinds that are refused although Terraform can read them.
var mayRefuse = map[statefile.Kind]bool{
	statefile.KindEncrypted: true, statefile.KindSerialOutOfRange: true, statefile.KindBackendPointer: true,
	// e2e/terraform compares these with the real Terraform.
	statefile.KindRefusedContent: true, statefile.KindDuplicate: true,
}

// compareContents compares what is comparable: where a key occurs twice, encoding/json
// merges the values in its own ways.
func compareContents(t *testing.T, got *statefile.Snapshot, want *terraformV4) {
	t.Helper()
	if len(want.Outputs) > got.Contents.Outputs {
		t.Fatalf("%d outputs, want %d", got.Contents.Outputs, len(want.Outputs))
	}
	if got.Empty() && (len(want.Outputs) > 0 || len(want.Resources) > 0) {
		t.Fatal("Empty is true, but Terraform finds resources or outputs")
	}
}

func FuzzBump(f *testing.F) {
	for _, s := range fixtures.Samples() {
		if data := s.Bytes(); len(data) < 20_000 {
			f.Add(data, int64(1), uint8(1))
			f.Add(data, int64(1<<53), uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, serial int64, pieces uint8) {
		before, err := statefile.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		bumped, err := io.ReadAll(before.Bump(inPieces(data, pieces), serial))
		if refusal, ok := errors.AsType[*statefile.Error](err); ok {
			switch {
			case refusal.Kind == statefile.KindSerialOutOfRange && (serial < 0 || serial > statefile.MaxSerial):
			case refusal.Kind == statefile.KindNoSerial && before.Serial == 0:
			default:
				t.Fatal(err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		after, err := statefile.Read(bytes.NewReader(bumped))
		if err != nil {
			t.Fatal("the result is refused:", err)
		}
		if after.Serial != serial {
			t.Fatalf("serial %d, want %d", after.Serial, serial)
		}
		// Bumping back restores the bytes, except that "-0" becomes 0.
		back, err := io.ReadAll(after.Bump(bytes.NewReader(bumped), before.Serial))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back, data) && !(before.Serial == 0 && strings.Contains(string(data), "-0")) {
			t.Fatal("more than the digits changed")
		}
	})
}

// inPieces returns a reader that reads at most n bytes at a time.
func inPieces(data []byte, n uint8) io.Reader {
	return &pieceReader{rest: data, n: max(1, int(n))}
}

type pieceReader struct {
	rest []byte
	n    int
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(r.n, len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}
