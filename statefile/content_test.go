package statefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"tfhaul/fixtures"
)

func contentOf(t testing.TB, text string) *Content {
	t.Helper()
	c, err := ReadContent(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v of %.200s", err, text)
	}
	return c
}

func TestContentIgnoresFormatting(t *testing.T) {
	original := string(fixtures.Spec{Seed: 7, Serial: 3, Resources: 20, Outputs: 4}.Bytes())
	var anything any
	decoder := json.NewDecoder(strings.NewReader(original))
	decoder.UseNumber()
	if err := decoder.Decode(&anything); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(anything)
	if err != nil {
		t.Fatal(err)
	}
	var compact, tabs bytes.Buffer
	if err := json.Compact(&compact, []byte(original)); err != nil {
		t.Fatal(err)
	}
	if err := json.Indent(&tabs, sorted, "", "\t"); err != nil {
		t.Fatal(err)
	}
	want := contentOf(t, original)
	for name, text := range map[string]string{
		"CRLF": strings.ReplaceAll(original, "\n", "\r\n"), "no newline at the end": strings.TrimSpace(original),
		"sorted keys": string(sorted), "compact": compact.String(), "tabs": tabs.String(),
	} {
		t.Run(name, func(t *testing.T) {
			if text == original {
				t.Fatal("the text is the original")
			}
			got := contentOf(t, text)
			if d := want.Difference(got); d != (Difference{}) || got.MD5 == want.MD5 {
				t.Errorf("%+v", d)
			}
			if d := want.Difference(got).Says(); d != "the same content in different formatting" {
				t.Error(d)
			}
		})
	}
}

func TestContentDifference(t *testing.T) {
	const base = `{"version": 4, "terraform_version": "1.11.4", "serial": 3, "lineage": "l", "outputs": {}, "resources": [{"a": %s}], "check_results": null}`
	long := strings.Repeat("x", 300_000)
	longer := strings.Repeat("9", 2*longText)
	tests := []struct {
		a, b string
		same bool
	}{
		{`"\u00e9\n\/"`, `"é\u000A/"`, true},
		{`"\ud83d\ude00"`, `"😀"`, true},
		{`"\ud83d"`, `"\ufffd"`, true},
		{`"\u003ca\u003e"`, `"<a>"`, true},
		{`"` + long + `\u0041"`, `"` + long + `A"`, true},
		{`"` + long + `a"`, `"` + long + `b"`, false},
		{`1.0`, `1`, true},
		{`1e3`, `1000`, true},
		{`0.50`, `5E-1`, true},
		{`12345678901234567890`, `12345678901234567891`, false},
		{`1e999999999`, `1e999999998`, false},
		{longer + "1", longer + "2", false},
		{`{"` + long + `a": 1}`, `{"` + long + `b": 1}`, false},
		{`{"x": 1, "y": {"p": [], "q": {}}}`, `{"y": {"q": {}, "p": []}, "x": 1}`, true},
		{`{"x": 1, "y": 2}`, `{"x": 2, "y": 1}`, false},
		{`{"x": {"y": 1}}`, `{"x": {}, "y": 1}`, false},
		{`[1, 2]`, `[2, 1]`, false},
		{`[[1], 2]`, `[[1, 2]]`, false},
		{`[]`, `{}`, false},
		{`[]`, `[null]`, false},
		{`null`, `"null"`, false},
		{`1`, `"1"`, false},
		{`true`, `false`, false},
		{`"a\\nb"`, `"a\nb"`, false},
		{`{}`, `{"x": null}`, false},
	}
	for _, test := range tests {
		a, b := fmt.Sprintf(base, test.a), fmt.Sprintf(base, test.b)
		want := Difference{State: !test.same}
		if got := contentOf(t, a).Difference(contentOf(t, b)); got != want {
			t.Errorf("%.60s and %.60s: %+v", test.a, test.b, got)
		}
		if got := contentOf(t, a).Difference(contentOf(t, a)); got != (Difference{}) {
			t.Errorf("%.60s differs from itself: %+v", test.a, got)
		}
	}
}

func TestContentDifferenceInChecksAndVersion(t *testing.T) {
	state := func(version, checks string) string {
		return `{"version": 4, "terraform_version": "` + version + `", "serial": 3, "lineage": "l", "outputs": {}, "resources": []` + checks + `}`
	}
	const checks = `, "check_results": [{"object_kind": "output", "config_addr": "output.x", "status": "pass", "objects": null}]`
	one := contentOf(t, state("1.11.4", ""))
	tests := []struct {
		name, other, says string
	}{
		{"version", state("1.11.5", ""), "the same content; only terraform_version differs"},
		{"check results", state("1.11.4", checks), "the same content; only check_results differ"},
		{"both", state("1.11.5", checks), "the same content; only terraform_version and check_results differ"},
		{"null instead of no check results", state("1.11.4", `, "check_results": null`), "the same content in different formatting"},
		{"serial", strings.Replace(state("1.11.4", ""), `"serial": 3`, `"serial": 4`, 1), "different contents"},
	}
	for _, test := range tests {
		if says := one.Difference(contentOf(t, test.other)).Says(); says != test.says {
			t.Errorf("%s: %q, want %q", test.name, says, test.says)
		}
	}
}

func TestReadContentInChunks(t *testing.T) {
	text := `{"version": 4, "x": "é\ud83d\ude00\\", "y": [1.50, -2e1, true, null, {"z": ""}]}`
	want := contentOf(t, text)
	before := chunkSize
	defer func() { chunkSize = before }()
	for chunkSize = range 20 {
		if chunkSize == 0 {
			continue
		}
		got, err := ReadContent(iotest.OneByteReader(strings.NewReader(text)))
		if err != nil || *got != *want {
			t.Errorf("in chunks of %d: %v, %+v, want %+v", chunkSize, err, got, want)
		}
	}
}

func TestReadContentOfInvalidJSON(t *testing.T) {
	for _, text := range []string{"", "{", `{"a": tru}`, `{"a": 1} x`, `{"a": "\x"}`, `"abc`, `{"a": "\ud8`} {
		if _, err := ReadContent(strings.NewReader(text)); err == nil {
			t.Errorf("%q has a content", text)
		}
	}
}
