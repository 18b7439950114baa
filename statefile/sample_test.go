package statefile_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tfhaul/fixtures"
	"tfhaul/statefile"
)

func TestReadSamples(t *testing.T) {
	for _, sample := range fixtures.Samples() {
		t.Run(sample.Name, func(t *testing.T) {
			data := sample.Bytes()
			got, err := statefile.Read(bytes.NewReader(data))
			if got == nil {
				t.Fatal("no snapshot")
			}
			kind, code := statefile.KindState, ""
			if err != nil {
				refusal, ok := errors.AsType[*statefile.Error](err)
				if !ok {
					t.Fatalf("the error is a %T, not an *Error", err)
				}
				kind, code = refusal.Kind, refusal.Code()
			}
			if string(kind) != sample.Kind || code != sample.Code {
				t.Errorf("kind %q, code %q; want %q, %q", kind, code, sample.Kind, sample.Code)
			}
			sum := md5.Sum(data)
			want := &statefile.Snapshot{
				Format: sample.Format, TerraformVersion: sample.TerraformVersion, Serial: sample.Serial, Lineage: sample.Lineage,
				MD5: hex.EncodeToString(sum[:]), Size: int64(len(data)),
			}
			if sample.Kind == "state" {
				want.Contents = contents(sample.Contents)
			} else {
				got.Contents = statefile.Contents{}
			}
			byAddress := cmpopts.SortSlices(func(a, b statefile.Provider) bool { return a.Address < b.Address })
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(statefile.Snapshot{}), byAddress); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if name := statefile.KindOfName(sample.Path); string(name) != sample.NameKind {
				t.Errorf("KindOfName(%s) = %q, want %q", sample.Path, name, sample.NameKind)
			}
		})
	}
}

func contents(c fixtures.Contents) statefile.Contents {
	out := statefile.Contents{
		Managed: c.Managed, Data: c.Data, Instances: c.Instances, Deposed: c.Deposed, Tainted: c.Tainted, Modules: c.Modules,
		Outputs: c.Outputs, SensitiveOutputs: c.SensitiveOutputs, SensitiveAttributes: c.SensitiveAttributes,
		Checks: c.Checks, FailedChecks: c.FailedChecks,
	}
	for address, n := range c.Providers {
		out.Providers = append(out.Providers, statefile.Provider{Address: address, Resources: n})
	}
	return out
}

func TestErrorsDoNotQuoteTheFile(t *testing.T) {
	for _, sample := range fixtures.Samples() {
		_, err := statefile.Read(bytes.NewReader(sample.Bytes()))
		if err == nil {
			continue
		}
		for i, secret := range fixtures.PlantedSecrets() {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error holds planted secret %d", sample.Name, i)
			}
		}
	}
}

func TestEveryKindHasACodeAndSentences(t *testing.T) {
	codes := map[string]bool{"encrypted": true, "empty": true, "not-state": true, "invalid": true, "too-new-format": true}
	for _, sample := range fixtures.Samples() {
		_, err := statefile.Read(bytes.NewReader(sample.Bytes()))
		refusal, ok := errors.AsType[*statefile.Error](err)
		if !ok {
			continue
		}
		text := refusal.Error()
		if len(text) < 40 || !strings.Contains(text, "; ") || strings.HasSuffix(text, ".") {
			t.Errorf("%s: %s", sample.Name, text)
		}
		if !codes[refusal.Code()] {
			t.Errorf("%s: code %q", sample.Name, refusal.Code())
		}
		t.Logf("%s:\n\t%s", sample.Name, text)
	}
}

func TestEmpty(t *testing.T) {
	empty := map[string]bool{
		"v4-destroyed.tfstate": true, "v4-workspace-new.tfstate": true, "v4-minimal.tfstate": true, "v4-nulls.tfstate": true,
		"v4-duplicate-keys.tfstate": true, "v4-serial-above-largest-first.tfstate": true, "v3-empty.tfstate": true,
	}
	for _, sample := range fixtures.Samples() {
		s, err := statefile.Read(bytes.NewReader(sample.Bytes()))
		if err == nil && s.Empty() != empty[sample.Name] {
			t.Errorf("%s: Empty is %t", sample.Name, s.Empty())
		}
	}
}

func TestKindOfName(t *testing.T) {
	for path, want := range map[string]statefile.Kind{
		"terraform.tfstate":                                statefile.KindState,
		"a/b/prod.tfstate":                                 statefile.KindState,
		"errored.tfstate":                                  statefile.KindErrored,
		`C:\work\errored.tfstate`:                          statefile.KindErrored,
		"a/not-errored.tfstate":                            statefile.KindState,
		"a/.terraform.tfstate.lock.info":                   statefile.KindLockInfo,
		"a/.prod.tfstate.lock.info":                        statefile.KindLockInfo,
		"env:/prod/network.tfstate.tflock":                 statefile.KindLockInfo,
		"terraform.tfstate.backup":                         statefile.KindBackup,
		"terraform.tfstate.1712345678.backup":              statefile.KindBackup,
		"a/.terraform/terraform.tfstate":                   statefile.KindBackendPointer,
		`a\.terraform\terraform.tfstate`:                   statefile.KindBackendPointer,
		".terraform/terraform.tfstate":                     statefile.KindBackendPointer,
		".terraform/modules/x/terraform.tfstate":           statefile.KindState,
		"a.terraform/terraform.tfstate":                    statefile.KindState,
		"terraform.tfstate.d/errored.tfstate/x.tfstate":    statefile.KindState,
		"terraform.tfstate.d/.terraform/terraform.tfstate": statefile.KindBackendPointer,
		"": statefile.KindState,
	} {
		if got := statefile.KindOfName(path); got != want {
			t.Errorf("KindOfName(%q) = %q, want %q", path, got, want)
		}
	}
}
