package pairing_test

import (
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/pairing"
)

func TestDefaultName(t *testing.T) {
	const ws = backend.DefaultWorkspace
	for _, tt := range []struct {
		does  string
		place backend.Place
		want  string
	}{
		{"omits the file name terraform", backend.Place{Dir: "network", Base: "terraform", Workspace: ws}, "network"},
		{"omits the file name default", backend.Place{Dir: "network", Base: "default", Workspace: ws}, "network"},
		{"appends the workspace", backend.Place{Dir: "network", Base: "terraform", Workspace: "prod"}, "network-prod"},
		{"appends no default workspace", backend.Place{Dir: "network", Base: "terraform"}, "network"},
		{"joins directories", backend.Place{Dir: "live/eu/network", Base: "terraform", Workspace: ws}, "live-eu-network"},
		{"keeps any other file name", backend.Place{Dir: "live/eu", Base: "vpc", Workspace: ws}, "live-eu-vpc"},
		{"keeps case and underscores", backend.Place{Dir: "Live_EU", Base: "vpc", Workspace: ws}, "Live_EU-vpc"},
		{"keeps existing hyphens", backend.Place{Dir: "a--b", Base: "-c", Workspace: ws}, "a--b--c"},
		{"falls back to the searched directory", backend.Place{Base: "terraform", Workspace: ws, Root: "network"}, "network"},
		{"falls back and appends the workspace", backend.Place{Base: "terraform", Workspace: "prod", Root: "network"}, "network-prod"},
		{"does not fall back if there is a file name", backend.Place{Base: "vpc", Workspace: ws, Root: "network"}, "vpc"},
		{"replaces dots and spaces", backend.Place{Dir: "my app/v1.2", Base: "terraform", Workspace: ws}, "my-app-v1-2"},
		{"replaces a run by one hyphen", backend.Place{Dir: "a / & b", Base: "terraform", Workspace: ws}, "a-b"},
		{"includes hyphens in the run", backend.Place{Dir: "a - b", Base: "terraform", Workspace: ws}, "a-b"},
		{"leaves no hyphen at the ends", backend.Place{Dir: "(old)", Base: "terraform", Workspace: ws}, "old"},
		{"spells non-ASCII letters", backend.Place{Dir: "café/zürich", Base: "terraform", Workspace: ws}, "cafe-zuerich"},
		{"spells decomposed letters the same way", backend.Place{Dir: "cafe\u0301/zu\u0308rich", Base: "terraform", Workspace: ws}, "cafe-zuerich"},
		{"spells German and Cyrillic", backend.Place{Dir: "größe/ветка", Base: "terraform", Workspace: ws}, "groesse-vetka"},
		{"spells Greek with accents", backend.Place{Dir: "Δίκτυο", Base: "terraform", Workspace: ws}, "Diktyo"},
		{"spells Polish and Czech", backend.Place{Dir: "Łódź/Příbram", Base: "terraform", Workspace: ws}, "Lodz-Pribram"},
		{"spells full-width letters", backend.Place{Dir: "ａｂ１", Base: "terraform", Workspace: ws}, "ab1"},
		{"falls back if nothing is left", backend.Place{Dir: "(…)", Base: "terraform", Workspace: ws, Root: "net"}, "net"},
		{"replaces control characters", backend.Place{Dir: "a\n\x1b[31mb\x00c", Base: "terraform", Workspace: ws}, "a-31mb-c"},
		{"accepts the longest name", backend.Place{Dir: strings.Repeat("n", 260), Base: "terraform", Workspace: ws}, strings.Repeat("n", 260)},
	} {
		t.Run(tt.does, func(t *testing.T) {
			namer, err := pairing.ParseNamer("")
			if err != nil {
				t.Fatal(err)
			}
			got, err := namer.Name(tt.place)
			if err != nil || got != tt.want {
				t.Errorf("Name(%+v) = %q, %v; want %q", tt.place, got, err, tt.want)
			}
		})
	}
}

func TestNameByTemplate(t *testing.T) {
	place := backend.Place{
		Dir: "live/EU/network", Base: "vpc", Key: "env:/prod/live/EU/network/vpc.tfstate",
		Bucket: "acme-tfstate", Workspace: "prod", Root: "infra",
	}
	for _, tt := range []struct{ template, want string }{
		{"{{.Base}}", "vpc"},
		{"{{.Workspace}}_{{.Base}}", "prod_vpc"},
		{"{{lower .Dir}}", "live-eu-network"},
		{`{{ .Dir | trimPrefix "live/" | replace "/" "_" }}`, "EU_network"},
		{`{{ join "-" .Bucket .Root .Base }}`, "acme-tfstate-infra-vpc"},
		{`{{ join "-" .Base "" .Workspace }}`, "vpc-prod"},
		{"{{.Key}}", "env-prod-live-EU-network-vpc-tfstate"},
		{`{{ if ne .Workspace "default" }}{{.Workspace}}-{{ end }}{{.Base}}`, "prod-vpc"},
		{"  {{.Base}}\n", "vpc"},
		{"fixed", "fixed"},
		{`{{ slice .Dir 5 7 }}`, "EU"},
		{"{{ upper .Base }}", "VPC"},
		{`{{ title .Dir | replace "/" "" }}`, "LiveEUNetwork"},
		{`{{ .Key | trimSuffix ".tfstate" | regexReplace "^env:/([^/]+)/(.*)$" "$2-$1" }}`, "live-EU-network-vpc-prod"},
		{"{{ .Dir | trunc 4 }}", "live"},
		{"{{ .Dir | trunc -7 }}", "network"},
		{"{{ .Dir | trunc 99 }}", "live-EU-network"},
		{`{{ trunc 2 "äöü" }}`, "aeoe"},
	} {
		t.Run(tt.template, func(t *testing.T) {
			namer, err := pairing.ParseNamer(tt.template)
			if err != nil {
				t.Fatal(err)
			}
			got, err := namer.Name(place)
			if err != nil || got != tt.want {
				t.Errorf("Name = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestNameErrors(t *testing.T) {
	for _, tt := range []struct {
		does, template string
		place          backend.Place
		want           string
	}{
		{
			"a place without a usable name", "", backend.Place{Base: "terraform", Key: "terraform.tfstate"},
			`no workspace name for "terraform.tfstate": its path has no letters or digits; name the workspace with --map or --workspace-name`,
		},
		{
			"a template with an empty result", "{{.Bucket}}", backend.Place{Base: "terraform", Key: "a/terraform.tfstate"},
			`no workspace name for "a/terraform.tfstate": --workspace-name gives "", which has no letters, digits, - or _`,
		},
		{
			"a name that is too long is not cut", "", backend.Place{Dir: strings.Repeat("n", 261), Base: "terraform", Key: "k"},
			`no workspace name for "k": "` + strings.Repeat("n", 261) + `" has 261 characters, but a workspace name at most 260; shorten it with --workspace-name (trunc, replace, regexReplace) or --map`,
		},
		{
			"letters without a spelling are not dropped", "", backend.Place{Dir: "tg/日本", Base: "terraform", Key: "tg/日本/terraform.tfstate"},
			`no workspace name for "tg/日本/terraform.tfstate": a workspace name has only ASCII letters, digits, - and _, and "日本" has no known ASCII spelling; name the workspace with --map or --workspace-name`,
		},
		{
			"invalid UTF-8 is not dropped", "", backend.Place{Dir: "a\xff\xfeb", Base: "terraform", Key: "a\xff\xfeb/terraform.tfstate"},
			`no workspace name for "a\xff\xfeb/terraform.tfstate": it is not valid UTF-8; rename it`,
		},
	} {
		t.Run(tt.does, func(t *testing.T) {
			namer, err := pairing.ParseNamer(tt.template)
			if err != nil {
				t.Fatal(err)
			}
			got, err := namer.Name(tt.place)
			if err == nil || err.Error() != tt.want {
				t.Errorf("Name = %q, %v\nwant error %s", got, err, tt.want)
			}
		})
	}
}

func TestParseNamerErrors(t *testing.T) {
	for _, tt := range []struct{ does, template, want string }{
		{"an unclosed template", "{{.Dir", `the workspace name template "{{.Dir" cannot be parsed: 1: unclosed action`},
		{"an unknown function", "{{camel .Dir}}", `the workspace name template "{{camel .Dir}}" cannot be parsed: 1: there is no function "camel", only join, lower, regexReplace, replace, title, trimPrefix, trimSuffix, trunc and upper`},
		{"an invalid regular expression", `{{regexReplace "(" "" .Dir}}`, `"(" is not a regular expression`},
		{"a missing argument", `{{trunc .Dir}}`, `wrong number of args for trunc`},
		{"an unknown field", "{{.Name}}", `the fields are .Dir .Base .Key .Bucket .Workspace .Root`},
	} {
		t.Run(tt.does, func(t *testing.T) {
			if _, err := pairing.ParseNamer(tt.template); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %s", err, tt.want)
			}
		})
	}
}

// The reader of a plan must see which names are more than joined paths.
func TestNamingReportsChanges(t *testing.T) {
	for _, tt := range []struct {
		does, template string
		place          backend.Place
		from           string
	}{
		{"joined by the default rule", "", backend.Place{Dir: "live/eu", Base: "vpc", Workspace: "prod"}, ""},
		{"joined by a template", "{{.Dir}}\n", backend.Place{Dir: "live/eu", Base: "vpc"}, ""},
		{"a spelled letter", "", backend.Place{Dir: "größe/ветка", Base: "terraform"}, "größe-ветка"},
		{"a replaced dot", "", backend.Place{Dir: "app/v1.2", Base: "terraform"}, "app-v1.2"},
		{"nothing is left of the name", "", backend.Place{Dir: "(…)", Base: "terraform", Root: "net"}, "(…)"},
		{"a place without a directory", "", backend.Place{Base: "terraform", Root: "net"}, ""},
	} {
		t.Run(tt.does, func(t *testing.T) {
			namer, err := pairing.ParseNamer(tt.template)
			if err != nil {
				t.Fatal(err)
			}
			if tt.place.Workspace == "" {
				tt.place.Workspace = backend.DefaultWorkspace
			}
			naming, err := namer.Naming(tt.place)
			if err != nil || naming.From != tt.from {
				t.Errorf("Naming(%+v) = %+v, %v; want From %q", tt.place, naming, err, tt.from)
			}
		})
	}
}
