package diff_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfhaul/diff"
	"tfhaul/fixtures"
)

// in returns a state that is held in memory.
func in(name, text string) diff.State {
	return diff.State{Side: diff.Side{Name: name}, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

const base = `{"version":4,"terraform_version":"1.11.4","serial":5,"lineage":"l","outputs":{"url":{"value":"http://a","type":"string"},"gone":{"value":1,"type":"number"},"db":{"value":"hunter2","type":"string","sensitive":true}},
"resources":[
 {"mode":"managed","type":"aws_vpc","name":"a","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[{"schema_version":0,"attributes":{"id":"vpc-1","cidr":"10.0.0.0/8","tags":{"x":"y"}}}]},
 {"module":"module.m[\"k\"]","mode":"managed","type":"aws_db","name":"d","each":"list","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[
  {"index_key":0,"schema_version":0,"attributes":{"id":"db-0","size":10,"note":"n","secret_note":"s1","token_value":"s2"},"sensitive_attributes":[[{"type":"get_attr","value":"note"}]]},
  {"index_key":1,"deposed":"0a1b2c3d","schema_version":0,"attributes":{"id":"db-1"}}]},
 {"mode":"data","type":"aws_ami","name":"x","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[{"schema_version":0,"attributes":{"id":"ami-1"}}]}],"check_results":null}`

func change(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			panic("the state does not contain " + pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// said returns what a result says, without the sides.
func said(r *diff.Result) string {
	var lines []string
	for _, name := range r.Removed {
		lines = append(lines, "- "+name)
	}
	for _, name := range r.Added {
		lines = append(lines, "+ "+name)
	}
	for _, c := range r.Changed {
		var attributes []string
		for _, a := range c.Attributes {
			text := a.Name
			if a.Before+a.After != "" {
				text += "=" + a.Before + ">" + a.After
			}
			if a.Hidden {
				text += "=hidden"
			}
			attributes = append(attributes, text)
		}
		lines = append(lines, "~ "+c.Address+": "+strings.Join(attributes, ", "))
	}
	return strings.Join(append(lines, string(r.Kind)+" "+strings.Join(r.Metadata, " ")), "\n")
}

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		name, b, want string
		values        bool
	}{
		{"the same bytes", base, "identical ", false},
		{"other formatting and order", change(base, `"id":"vpc-1","cidr":"10.0.0.0/8"`, "\"cidr\" : \"10.0.0.0\\/8\",\n\"id\":\"vpc-1\""), "formatting ", false},
		{"a resource that moved in the file", change(change(base, "\n {\"mode\":\"data\",\"type\":\"aws_ami\",\"name\":\"x\",\"provider\":\"provider[\\\"registry.terraform.io/hashicorp/aws\\\"]\",\"instances\":[{\"schema_version\":0,\"attributes\":{\"id\":\"ami-1\"}}]}", "", `]},],"check`, `]}],"check`),
			`"resources":[`, `"resources":[{"instances":[{"attributes":{"id":"ami-1"},"schema_version":0}],"provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","name":"x","type":"aws_ami","mode":"data"},`), "formatting ", false},
		{"serial and version", change(base, `"serial":5`, `"serial":6`, "1.11.4", "1.12.0"), "metadata serial terraform_version", false},
		{"check results that are empty", change(base, `"check_results":null`, `"check_results":[]`), "metadata check_results", false},
		{"a changed attribute", change(base, "10.0.0.0/8", "10.1.0.0/8"), "~ aws_vpc.a: cidr\ncontent ", false},
		{"a member of an attribute", change(base, `{"x":"y"}`, `{"x":"z"}`, `"serial":5`, `"serial":6`), "~ aws_vpc.a: tags\ncontent serial", true},
		{"a renamed resource", change(base, `"name":"a"`, `"name":"b"`), "- aws_vpc.a\n+ aws_vpc.b\ncontent ", false},
		{"a deposed object that is gone", change(base, ",\n  {\"index_key\":1,\"deposed\":\"0a1b2c3d\",\"schema_version\":0,\"attributes\":{\"id\":\"db-1\"}}", ""), `- module.m["k"].aws_db.d[1] (deposed 0a1b2c3d)` + "\ncontent ", false},
		{"an attribute that is new, and one that is gone", change(base, `"size":10`, `"volume":11`), `~ module.m["k"].aws_db.d[0]: size, volume` + "\ncontent ", false},
		{"a provider", change(base, `hashicorp/aws\"]","instances":[{"schema_version":0,"attributes":{"id":"ami-1"}`, `acme/aws\"]","instances":[{"schema_version":0,"attributes":{"id":"ami-1"}`), "~ data.aws_ami.x: (provider)\ncontent ", false},
		{"outputs", change(base, "http://a", "http://b", `"gone":{"value":1,"type":"number"},`, ""), "- output.gone\n~ output.url: value\ncontent ", false},
		{"values", change(base, "http://a", "http://b", `"size":10`, `"size":null`, `"cidr":"10.0.0.0/8",`, ""),
			"~ aws_vpc.a: cidr=\"10.0.0.0/8\">\n~ module.m[\"k\"].aws_db.d[0]: size=10>null\n~ output.url: value=\"http://a\">\"http://b\"\ncontent ", true},
		{"values that are not shown", change(base, "hunter2", "hunter3", `"note":"n"`, `"note":"m"`, `"s1"`, `"t1"`, `"s2"`, `"t2"`),
			"~ module.m[\"k\"].aws_db.d[0]: note=hidden, secret_note=hidden, token_value=hidden\n~ output.db: value=hidden\ncontent ", true},
		{"a value that became sensitive", change(base, `"type":"string"},"gone"`, `"type":"string","sensitive":true},"gone"`, "http://a", "http://b"), "~ output.url: sensitive=hidden, value=hidden\ncontent ", true},
		{"a value with the form of a secret", change(base, "http://a", "AKIAIOSFODNN7EXAMPLQ"), "~ output.url: value=hidden\ncontent ", true},
	} {
		o := diff.Options{Values: test.values, SecretName: func(name string) bool { return strings.Contains(name, "secret") || strings.Contains(name, "token") }}
		r, err := diff.Compare(in("a", base), in("b", test.b), o)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if d := cmp.Diff(test.want, said(r)); d != "" {
			t.Errorf("%s: %s", test.name, d)
		}
		// The reverse has the same kind, and what was added is removed.
		back, err := diff.Compare(in("b", test.b), in("a", base), o)
		if err != nil || back.Kind != r.Kind || cmp.Diff(back.Removed, r.Added) != "" || back.ChangedCount != r.ChangedCount {
			t.Errorf("%s, reversed: %v %v", test.name, err, back)
		}
	}
}

func TestCompareRefusesWhatIsNotState(t *testing.T) {
	for _, text := range []string{"", "{}", "no state", base[:300]} {
		if _, err := diff.Compare(in("a", base), in("b", text), diff.Options{}); err == nil || !strings.HasPrefix(err.Error(), "b: ") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// States of older formats are compared as a whole.
func TestCompareOlderFormats(t *testing.T) {
	const old = `{"version":3,"terraform_version":"0.11.14","serial":1,"lineage":"m","modules":[{"path":["root"],"outputs":{},"resources":{}}]}`
	for b, want := range map[string]diff.Kind{old: diff.Identical, old + "\n": diff.Formatting, change(old, "0.11.14", "0.11.13"): diff.Metadata, base: diff.Content} {
		r, err := diff.Compare(in("a", old), in("b", b), diff.Options{})
		if err != nil || r.Kind != want || want != diff.Identical && r.NotCompared == "" {
			t.Errorf("%.60s: %+v %v", b, r, err)
		}
	}
}

// Nothing that the fixtures plant as secret is shown, even if values are asked for.
func TestCompareShowsNoSecret(t *testing.T) {
	for seed := range uint64(4) {
		a := fixtures.Spec{Seed: seed, Serial: 1, Resources: 40, Outputs: 12}.Bytes()
		b := fixtures.Spec{Seed: seed + 100, Serial: 1, Resources: 40, Outputs: 12}.Bytes()
		r, err := diff.Compare(in("a", string(a)), in("b", string(b)), diff.Options{Values: true, SecretName: func(string) bool { return false }})
		if err != nil {
			t.Fatal(err)
		}
		for n, secret := range fixtures.PlantedSecrets() {
			if strings.Contains(fmt.Sprintf("%+v", r), secret) {
				t.Errorf("planted secret number %d is shown", n)
			}
		}
	}
}

// large is a state of about the given size that is made while it is read.
func large(size int, changed bool) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			fmt.Fprint(w, `{"version":4,"terraform_version":"1.11.4","serial":5,"lineage":"l","outputs":{},"resources":[`)
			filler := bytes.Repeat([]byte("x"), 10_000)
			for n := range size / len(filler) {
				if n > 0 {
					fmt.Fprint(w, ",")
				}
				if changed && n%100 == 0 {
					filler[n%len(filler)] = 'y'
				}
				if _, err := fmt.Fprintf(w, `{"mode":"managed","type":"aws_vpc","name":"v%d","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[{"schema_version":0,"attributes":{"id":"vpc-%d","text":"%s"}}]}`, n, n, filler); err != nil {
					return
				}
				if changed && n%100 == 0 {
					filler[n%len(filler)] = 'x'
				}
			}
			fmt.Fprint(w, `],"check_results":null}`)
			w.Close()
		}()
		return r, nil
	}
}

func TestCompareNeedsFlatMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 100 MB")
	}
	const size, most = 100 << 20, 40 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := diff.Compare(diff.State{Open: large(size, false)}, diff.State{Open: large(size, true)}, diff.Options{})
	runtime.ReadMemStats(&after)
	if err != nil || r.ChangedCount != 105 || len(r.Changed) != 105 || r.AddedCount+r.RemovedCount > 0 {
		t.Fatalf("%v: %d changed, %d added, %d removed", err, r.ChangedCount, r.AddedCount, r.RemovedCount)
	}
	if grown := int64(after.Sys) - int64(before.Sys); grown > most {
		t.Errorf("needs %d MB", grown>>20)
	}
}
