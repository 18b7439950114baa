package statefile_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfhaul/fixtures"
	"tfhaul/statefile"

	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// A visit records what a visitor gets.
type visit struct {
	resources []statefile.Resource
	outputs   []statefile.Output
}

func visitAll(t *testing.T, data []byte) (v visit) {
	t.Helper()
	_, err := statefile.Inspect(bytes.NewReader(data), &statefile.Visitor{
		Resource: func(r statefile.Resource) {
			r.Instances = append([]statefile.Instance(nil), r.Instances...)
			v.resources = append(v.resources, r)
		},
		Output: func(o statefile.Output) { v.outputs = append(v.outputs, o) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const builtin = "terraform.io/builtin/terraform"

func TestVisitorGetsResourcesAndOutputs(t *testing.T) {
	const providers = "registry.terraform.io/hashicorp/"
	for sample, want := range map[string]visit{
		"v4-deposed.tfstate": {resources: []statefile.Resource{
			{Mode: "managed", Type: "terraform_data", Name: "app", Provider: builtin, Instances: []statefile.Instance{
				{ID: "2c763c18-04ec-a0fb-f27c-f066cd996842", Tainted: true},
				{ID: "35a1a997-e1ba-ae91-2d82-d04858db7fcf", Deposed: true},
			}},
		}},
		"v4-flatmap.tfstate": {resources: []statefile.Resource{
			{Module: "module.net", Mode: "managed", Type: "aws_vpc", Name: "main", Provider: "aws", Instances: []statefile.Instance{
				{ID: "vpc-1"}, {ID: "vpc-2", Tainted: true},
			}},
			{Mode: "data", Type: "aws_ami", Name: "x", Provider: "aws", Instances: []statefile.Instance{{ID: "ami-1"}}},
		}},
		"v3.tfstate": {
			resources: []statefile.Resource{
				{Mode: "managed", Type: "aws_instance", Name: "web", Provider: "aws", Instances: []statefile.Instance{{ID: "i-0a"}}},
				{Mode: "managed", Type: "aws_instance", Name: "web", Provider: "aws", Instances: []statefile.Instance{{ID: "i-0b", Tainted: true}, {ID: "i-0c", Deposed: true}}},
				{Mode: "data", Type: "aws_ami", Name: "base", Provider: "aws", Instances: []statefile.Instance{{ID: "ami-0a"}}},
				{Module: "module.net", Mode: "managed", Type: "aws_vpc", Name: "main", Provider: "aws", Instances: []statefile.Instance{{ID: "vpc-0a"}}},
			},
			outputs: []statefile.Output{{Name: "address", Type: "string"}, {Name: "password", Type: "string", Sensitive: true}},
		},
		"v1.tfstate": {
			resources: []statefile.Resource{
				{Mode: "managed", Type: "aws_instance", Name: "web", Provider: "aws", Instances: []statefile.Instance{{ID: "i-0a"}, {ID: "i-0b", Tainted: true}}},
				{Mode: "managed", Type: "aws_subnet", Name: "a", Provider: "aws", Instances: []statefile.Instance{{ID: "subnet-0a"}, {ID: "subnet-0b", Deposed: true}}},
			},
			outputs: []statefile.Output{{Name: "address", Type: "string"}},
		},
	} {
		t.Run(sample, func(t *testing.T) {
			got := visitAll(t, fixtures.SampleNamed(sample).Bytes())
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(visit{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("v4-full.tfstate", func(t *testing.T) {
		got := visitAll(t, fixtures.SampleNamed("v4-full.tfstate").Bytes())
		want := []statefile.Output{
			{Name: "list", Type: "tuple"}, {Name: "map", Type: "object"},
			{Name: "oops_url", Type: "string", SecretShape: "password in a URL"},
			{Name: "password", Type: "string", Sensitive: true}, {Name: "plain", Type: "string"},
		}
		if diff := cmp.Diff(want, got.outputs); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if n := len(got.resources); n != 13 || got.resources[n-1].Module != `module.service["us-east-1"].module.inner` {
			t.Errorf("%d resources, the last one in %s", n, got.resources[n-1].Module)
		}
	})
	t.Run("generated", func(t *testing.T) {
		got := visitAll(t, fixtures.Spec{Resources: 1}.Bytes())
		if r := got.resources[0]; r.Provider != providers+"aws" || !strings.HasPrefix(r.Instances[0].ID, "ami-") {
			t.Errorf("provider %s", r.Provider)
		}
	})
}

func TestEmptyOutputs(t *testing.T) {
	for value, want := range map[string]bool{
		`""`: true, `null`: true, `[]`: true, `{}`: true,
		`"a"`: false, `[1]`: false, `[""]`: false, `{"a":null}`: false, `12`: false, `0`: false, `false`: false,
	} {
		for _, state := range []string{
			`{"version":4,"outputs":{"x":{"value": ` + value + ` ,"type":` + typeOf(value) + `}}}`,
			`{"version":3,"modules":[{"path":["root"],"outputs":{"x":{"value": ` + value + ` ,"type":"string"}}}]}`,
		} {
			if got := visitAll(t, []byte(state)); len(got.outputs) != 1 || got.outputs[0].Empty != want {
				t.Errorf("SecretShape and names of the value %s: got %+v", value, got.outputs)
			}
		}
	}
}

func TestSecretShape(t *testing.T) {
	for value, want := range map[string]string{
		`"` + fixtures.SecretAWSKeyID + `"`:                                                                       "AWS access key",
		`"` + fixtures.SecretGitHub + `"`:                                                                         "GitHub token",
		`"` + fixtures.SecretJWT + `"`:                                                                            "JSON web token",
		`"` + fixtures.SecretURL + `"`:                                                                            "password in a URL",
		`"-----BEGIN RSA PRIVATE KEY-----\nMII\n"`:                                                                "private key",
		`"-----BEGIN PRIVATE KEY-----\nMII\n"`:                                                                    "private key",
		`{"a":[1,null,{"b":"-----BEGIN OPENSSH PRIVATE KEY-----\n"}]}`:                                            "private key",
		`"LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt"`:                                                                  "private key",
		`"Server=db;User Id=app;Password=hunter22;"`:                                                              "password in a connection string",
		`"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"`:                                                              "AWS secret key",
		`"AKIDX,rq4cVzoqgL2v7HTzt3ffpIMoz89WydWkjkEiyvWL"`:                                                        "AWS secret key",
		`"AcmeProdEuWest1AppLogGroupOfTeamRedVpc2A"`:                                                              "",
		`"0123456789abcdef0123456789abcdef01234567"`:                                                              "",
		`"AGE-SECRET-KEY-1` + strings.Repeat("Q", 58) + `"`:                                                       "private key",
		`"[Interface]\nPrivateKey = ` + strings.Repeat("a", 43) + `="`:                                            "private key",
		`"PuTTY-User-Key-File-3: ssh-ed25519\n"`:                                                                  "private key",
		`"glagent-` + strings.Repeat("x", 50) + `"`:                                                               "GitLab token",
		`"gitlab GR1348941` + strings.Repeat("x", 20) + `"`:                                                       "GitLab token",
		`"xoxb-123456789012-abcdefghijkl"`:                                                                        "Slack token",
		`"xapp-1-A0123-4567-` + strings.Repeat("ab", 32) + `"`:                                                    "Slack token",
		`"https://hooks.slack.com/services/T00/B00/XXXX"`:                                                         "webhook",
		`"https://discord.com/api/webhooks/1234/` + strings.Repeat("x", 68) + `"`:                                 "webhook",
		`"ewogICJ0eXBlIjogInNlcnZpY2VfYWNjb3VudCIsCiAgInByb2plY3Rf"`:                                              "Google service account key",
		`"{\"type\":\"service_account\",\"private_key\":\"-----BEGIN PRIVATE KEY-----\\nMII\\n\"}"`:               "private key",
		`"https://a.blob.core.windows.net/c?sv=2022-11-02&sp=r&sig=` + strings.Repeat("Zm9v", 10) + `YmFyYmE%3D"`: "Azure shared access signature",
		`"abc8Q~` + strings.Repeat("x", 34) + `"`:                                                                 "Azure client secret",
		`"SG.` + strings.Repeat("x", 22) + `.` + strings.Repeat("y", 43) + `"`:                                    "SendGrid key",
		`"dop_v1_` + strings.Repeat("0a", 32) + `"`:                                                               "DigitalOcean token",
		`"sk-ant-api03-` + strings.Repeat("x", 80) + `"`:                                                          "Anthropic key",
		`"Authorization: Basic dXNlcjpwYXNzd29yZA=="`:                                                             "authorization header",
		`{"headers":{"x":"authorization = Bearer abcdefghijkl"}}`:                                                 "authorization header",
		`"kind: Config\nusers:\n- user:\n    token: abcdefghij\n"`:                                                "kubeconfig",
		`"kind: Config\nusers:\n- user:\n    token: ${var.token}\n"`:                                              "",
		`"app:hunter22@tcp(db:3306)/app"`:                                                                         "password in a connection string",
		`"Password=${var.password};Pwd=<yours>;password=****;PASSWORD=$DB_PW;password={{ pw }}"`:                  "",
		`"Password=${var.password};Password=hunter22"`:                                                            "password in a connection string",
		`"password=$ecret-and-$afe!"`:                                                                             "password in a connection string",
		`"cd /srv; PWD=/srv/app ./run"`:                                                                           "",
		`"postgres://app:${DB_PASSWORD}@db.example.com/app"`:                                                      "",
		`"postgres://app:<password>@db.example.com/app"`:                                                          "",
		`"postgres://app:*****@db.example.com/app"`:                                                               "",
		`"docker://reg.example.com:5000/app@sha256:0123abcd"`:                                                     "",
		`"pypi-server, glue, sky-high, shp_files, hf_model"`:                                                      "",
		`"https://example.com/?sig=short&x=1"`:                                                                    "",
		`"-----BEGIN CERTIFICATE-----\nMII\n"`:                                                                    "",
		`"https://example.com:8443/path?x=a@b"`:                                                                   "",
		`"git@github.com:acme/network.git"`:                                                                       "",
		`"ssh://git@github.com/acme"`:                                                                             "",
		`"vpc-0a1b2c3d4e5f60718"`:                                                                                 "",
		`"arn:aws:iam::123456789012:role/service"`:                                                                "",
		`"9e107d9d372bb6826bd81d3542a419d6"`:                                                                      "",
		`"2c763c18-04ec-a0fb-f27c-f066cd996842"`:                                                                  "",
		`["a",["b"],{"c":12}]`:                                                                                    "",
		`null`:                                                                                                    "",
		`12`:                                                                                                      "",
	} {
		for _, state := range []string{
			`{"version":4,"outputs":{"x":{"value":` + value + `,"type":` + typeOf(value) + `}}}`,
			`{"version":3,"modules":[{"path":["root"],"outputs":{"x":{"value":` + value + `,"type":"string"}}}]}`,
		} {
			got := visitAll(t, []byte(state))
			if len(got.outputs) != 1 || got.outputs[0].SecretShape != want {
				t.Errorf("want SecretShape %q, got %+v", want, got.outputs)
			}
		}
	}
}

// typeOf returns the type that Terraform writes for a value.
func typeOf(value string) string {
	t, err := ctyjson.ImpliedType([]byte(value))
	if err != nil {
		panic(err)
	}
	raw, err := ctyjson.MarshalType(t)
	if err != nil {
		panic(err)
	}
	return string(raw)
}
