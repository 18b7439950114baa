package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"tfhaul/plainwords"
)

const (
	settingsName     = ".tfhaul.hcl"
	settingsVariable = "TFHAUL_CONFIG"
)

// fileSettings are the flags that a settings file can set, and whether their value is a
// path. None of them permits anything, and none is or names a secret: a settings file is
// shared, and may come with another user's repository.
var fileSettings = map[string]bool{
	"target": false, "workspace-name": false, "key-name": false, "include": false, "exclude": false, "project": false, "tag": false,
	"execution-mode": false, "agent-pool": false, "terraform-version": false, "oldest-terraform": false, "parallelism": false,
	"lock-timeout": false, "timeout": false, "rate": false, "backup-dir": true,
}

// notForFile are flags that a settings file could be expected to set, and why it cannot.
var notForFile = map[string]string{
	"token":           "it would be a secret in a shared file: use TFE_TOKEN, or terraform login",
	"token-file":      "a shared file does not choose the credentials: use --token-file or TFHAUL_TOKEN_FILE",
	"ca-file":         "it decides which servers get your token: use --ca-file, TFHAUL_CA_FILE or SSL_CERT_FILE",
	"create":          "each haul decides it: use --create, or the manifest",
	"update-settings": "it permits changing workspaces: use --update-settings, or the manifest",
	"replace":         "it permits overwriting: use --replace, or the manifest",
	"bump-serial":     "it permits changing a state: use --bump-serial, or the manifest",
	"allow":           "it permits moving a state in spite of a finding: use --allow, or the manifest",
	"yes":             "it permits writing without a question: use --yes",
	"force":           "it permits overwriting files: use --force",
}

// settings are the defaults that a settings file sets.
type settings struct {
	path   string // "" without a file
	values map[string]setting
}

// A setting is the values of a flag, more than one for a repeatable flag, and the line
// that sets them.
type setting struct {
	values []string
	line   int
}

// origin returns where the file sets a flag.
func (s settings) origin(flag string) string {
	return fmt.Sprintf("%s in %s:%d", attributeOf(flag), s.path, s.values[flag].line)
}

// attributeOf returns the attribute that sets a flag, and flagOf the reverse. They are named
// as in a manifest.
func attributeOf(flag string) string {
	if flag == "tag" {
		return "tags"
	}
	return strings.ReplaceAll(flag, "-", "_")
}

func flagOf(attribute string) string {
	if attribute == "tags" {
		return "tag"
	}
	return strings.ReplaceAll(attribute, "_", "-")
}

// readSettings reads what the settings file sets for a command: the file that TFHAUL_CONFIG
// names, or the one found from the current directory upwards. Its errors are *usageError.
func (p *process) readSettings(command string) (settings, error) {
	path := p.getenv(settingsVariable)
	if path == "" {
		dir, err := os.Getwd()
		if err != nil {
			return settings{}, nil // there is nowhere to look
		}
		if path = findSettings(dir, p.getenv("HOME")); path == "" {
			return settings{}, nil
		}
		if !ownedByUser(path) {
			p.log.Warn(fmt.Sprintf("%s belongs to another user and is not used; if you trust it, set %s to its path", path, settingsVariable))
			return settings{}, nil
		}
	}
	s, err := parseSettings(path)
	if command == "audit" || command == "rehearse" {
		delete(s.values, "target") // these contact a target only if the user asks for it
	}
	return s, err
}

// findSettings returns the settings file in dir or the nearest directory above it; "" if
// there is none up to the root of the repository or the home directory.
func findSettings(dir, home string) string {
	for {
		path := filepath.Join(dir, settingsName)
		if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return path
		}
		_, err := os.Stat(filepath.Join(dir, ".git"))
		parent := filepath.Dir(dir)
		if err == nil || parent == dir || dir == filepath.Clean(home) {
			return ""
		}
		dir = parent
	}
}

// maxSettings limits the size of a settings file, in bytes, so that HCL, which parses
// nested expressions by recursion, stays within its stack.
const maxSettings = 16 << 10

func parseSettings(path string) (settings, error) {
	src, err := readAtMost(path, maxSettings)
	if err != nil {
		return settings{}, usagef("the settings file %q cannot be read: %v", path, plainwords.WithoutPath(err))
	}
	file, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	if diags.HasErrors() {
		return settings{}, settingsError(diags)
	}
	attributes, diags := file.Body.JustAttributes()
	if diags.HasErrors() {
		return settings{}, settingsError(diags)
	}
	s := settings{path: path, values: map[string]setting{}}
	for _, a := range attributes {
		flag := flagOf(a.Name)
		isPath, known := fileSettings[flag]
		if !known {
			return s, unknownSetting(a)
		}
		values, err := settingValues(a)
		if err != nil {
			return s, err
		}
		for i, v := range values {
			if isPath && v != "" && !filepath.IsAbs(v) {
				values[i] = filepath.Join(filepath.Dir(path), v)
			}
		}
		s.values[flag] = setting{values, a.Range.Start.Line}
	}
	return s, nil
}

// readAtMost reads a file of up to most bytes.
func readAtMost(path string, most int64) ([]byte, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // only read
	src, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(src)) > most {
		err = fmt.Errorf("it is larger than %d KB", most>>10)
	}
	return src, err
}

// settingValues returns an attribute's values as the flag takes them.
func settingValues(a *hcl.Attribute) ([]string, error) {
	if repeats(a.Expr) {
		return nil, usagef("%s:%d: %s must be written out: for is not supported", a.Range.Filename, a.Range.Start.Line, a.Name)
	}
	value, diags := a.Expr.Value(nil)
	if diags.HasErrors() {
		return nil, settingsError(diags)
	}
	elements := []cty.Value{value}
	if value.Type().IsTupleType() {
		elements = value.AsValueSlice()
	}
	var values []string
	for _, e := range elements {
		text, err := convert.Convert(e, cty.String)
		if err != nil || text.IsNull() {
			return nil, usagef("%s:%d: %s must be a string, a number, or a list of strings", a.Range.Filename, a.Range.Start.Line, a.Name)
		}
		values = append(values, text.AsString())
	}
	return values, nil
}

// repeats reports whether an expression contains a for, in brackets or in a template. A few
// of them, one in the other, can take forever to evaluate.
func repeats(e hcl.Expression) bool {
	found := false
	if node, ok := e.(hclsyntax.Node); ok {
		_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
			_, isFor := n.(*hclsyntax.ForExpr)
			found = found || isFor
			return nil
		})
	}
	return found
}

func unknownSetting(a *hcl.Attribute) error {
	if reason, ok := notForFile[flagOf(a.Name)]; ok {
		return usagef("%s:%d: %s cannot be set here, because %s", a.Range.Filename, a.Range.Start.Line, a.Name, reason)
	}
	var names []string
	for flag := range fileSettings {
		names = append(names, attributeOf(flag))
	}
	slices.Sort(names)
	return usagef("%s:%d: unknown setting %q%s; the settings are %s", a.Range.Filename, a.Range.Start.Line, a.Name,
		didYouMean(closest(a.Name, names)), strings.Join(names, ", "))
}

func settingsError(diags hcl.Diagnostics) error {
	for _, d := range diags {
		if d.Severity == hcl.DiagError && d.Subject != nil {
			return usagef("%s:%d: %s: %s", d.Subject.Filename, d.Subject.Start.Line, d.Summary, strings.ReplaceAll(d.Detail, "\n", " "))
		}
	}
	return usagef("%v", diags)
}
