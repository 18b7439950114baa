package pairing

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"tfhaul/migrate"
)

// A Manifest is a plan as a file that people review and edit: which state goes
// into which workspace, what was seen when it was planned, and everything that decides
// the moves.
type Manifest struct {
	Target ManifestTarget `hcl:"target,block"`
	// Defaults are the settings of moves that do not have their own.
	Defaults *ManifestSettings `hcl:"defaults,block"`
	Moves    []*ManifestMove   `hcl:"move,block"`
}

// ManifestTarget is where all moves of a manifest go.
type ManifestTarget struct {
	// Hostname may carry a port.
	Hostname     string `hcl:"hostname"`
	Organization string `hcl:"organization"`
}

// ManifestMove is one move of a manifest.
type ManifestMove struct {
	// Source names the snapshot, as on the command line.
	Source    string `hcl:"source,label"`
	Workspace string `hcl:"workspace"`
	// Serial and MD5 are what was seen when planned; the move is refused when the
	// source is another now. Both absent: whatever is there is moved.
	Serial *int64  `hcl:"serial"`
	MD5    *string `hcl:"md5"`
	// Relation is what was found when planned, for the reader.
	Relation *string `hcl:"relation"`
	// Replace and BumpSerial are what --replace and --bump-serial are on the
	// command line.
	Replace    *bool `hcl:"replace"`
	BumpSerial *bool `hcl:"bump_serial"`
	// Allow is what --allow is on the command line.
	Allow []string `hcl:"allow,optional"`
	// Own are the settings of this move alone. They stand beside its other attributes,
	// in Rest while the manifest is decoded.
	Own  ManifestSettings
	Rest hcl.Body `hcl:",remain"`
	// Reason says why the move is written as a comment; "" for a move to carry out.
	Reason string
}

// Expectation is what the manifest says the snapshot was; nil for nothing.
func (m *ManifestMove) Expectation() *migrate.Expectation {
	if m.Serial == nil || m.MD5 == nil {
		return nil
	}
	return &migrate.Expectation{Serial: *m.Serial, MD5: *m.MD5}
}

// mostManifest bounds a manifest that is read, in bytes: MaxManifestMoves with names of
// 1 KB in all.
const mostManifest = 32 << 20

// ReadManifest reads a manifest; name is the file's, for messages. The error says
// where the trouble is and what to do.
func ReadManifest(r io.Reader, name string) (*Manifest, error) {
	src, err := io.ReadAll(io.LimitReader(r, mostManifest+1))
	if err != nil {
		if at, ok := errors.AsType[*fs.PathError](err); ok {
			err = at.Err // the sentence names the path
		}
		return nil, fmt.Errorf("the manifest %q cannot be read: %w", name, err)
	}
	if len(src) > mostManifest {
		return nil, fmt.Errorf("the manifest %s is larger than %d MB", name, mostManifest>>20)
	}
	if err := checkTokens(src, name); err != nil {
		return nil, err
	}
	if err := checkNesting(src, name); err != nil {
		return nil, err
	}
	file, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, manifestError(diags)
	}
	m := new(Manifest)
	if diags := gohcl.DecodeBody(file.Body, nil, m); diags.HasErrors() {
		return nil, manifestError(diags)
	}
	for _, move := range m.Moves {
		if diags := gohcl.DecodeBody(move.Rest, nil, &move.Own); diags.HasErrors() {
			return nil, manifestError(diags)
		}
		move.Rest = nil
	}
	if err := m.check(name); err != nil {
		return nil, err
	}
	if err := m.checkSettings(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// manifestError says the first of the troubles in one line.
func manifestError(diags hcl.Diagnostics) error {
	d := diags.Errs()[0]
	var diag *hcl.Diagnostic
	if errors.As(d, &diag) && diag.Subject != nil {
		detail := strings.TrimPrefix(strings.TrimSpace(strings.ReplaceAll(diag.Detail, "\n", " ")), "Unsuitable value: ")
		at := diag.Subject.Start
		if at.Line == 1 && at.Column == 1 {
			detail += " Is this a manifest, as tfhaul plan --out writes one?"
		}
		return fmt.Errorf("%s:%d,%d: %s: %s", diag.Subject.Filename, at.Line, at.Column, diag.Summary, detail)
	}
	return d
}

// check finds what the grammar allows and a haul does not.
func (m *Manifest) check(name string) error {
	switch {
	case m.Target.Hostname == "" || m.Target.Organization == "":
		return fmt.Errorf("%s: the target's hostname and organization must not be empty", name)
	case len(m.Moves) == 0:
		return fmt.Errorf("%s: there is no move block, so there is nothing to do", name)
	}
	seen := map[string]string{}
	for _, move := range m.Moves {
		switch {
		case move.Source == "" || move.Workspace == "":
			return fmt.Errorf("%s: a move of %q into %q: neither may be empty", name, move.Source, move.Workspace)
		case (move.Serial == nil) != (move.MD5 == nil):
			return fmt.Errorf("%s: the move of %q has one of serial and md5: give both, as plan writes them, or neither", name, move.Source)
		case seen[move.Source] != "":
			return fmt.Errorf("%s: %q is to go into the workspaces %s and %s: one state belongs into one", name, move.Source, seen[move.Source], move.Workspace)
		}
		seen[move.Source] = move.Workspace
		for _, code := range move.Allow {
			if err := migrate.CheckAllow(code); err != nil {
				return fmt.Errorf("%s: the move of %q: allow: %w", name, move.Source, err)
			}
		}
	}
	return nil
}

// WriteTo writes the manifest for a person to review, block by block: of each, HCL's
// own writer holds some 20 KB.
func (m *Manifest) WriteTo(w io.Writer) (int64, error) {
	if n := len(m.Moves); n > MaxManifestMoves {
		return 0, fmt.Errorf("it would hold %d moves, and tfhaul migrate reads at most %d: plan fewer states, with --include", n, MaxManifestMoves)
	}
	out := bufio.NewWriter(w)
	file := hclwrite.NewEmptyFile()
	target := file.Body().AppendNewBlock("target", nil).Body()
	target.SetAttributeValue("hostname", cty.StringVal(m.Target.Hostname))
	target.SetAttributeValue("organization", cty.StringVal(m.Target.Organization))
	if m.Defaults != nil {
		file.Body().AppendNewline()
		m.Defaults.write(file.Body().AppendNewBlock("defaults", nil).Body())
	}
	written, err := file.WriteTo(out)
	for _, move := range m.Moves {
		if err != nil {
			return written, err
		}
		file := hclwrite.NewEmptyFile()
		if move.Reason == "" {
			file.Body().AppendNewline()
		}
		move.write(file.Body().AppendNewBlock("move", []string{move.Source}).Body())
		var n int64
		if move.Reason != "" {
			var k int
			k, err = io.WriteString(out, comment(file, move.Reason))
			n = int64(k)
		} else {
			n, err = file.WriteTo(out)
		}
		written += n
	}
	return written, errors.Join(err, out.Flush())
}

func (m *ManifestMove) write(b *hclwrite.Body) {
	writeText(b, "workspace", ifSet(m.Workspace))
	if m.Serial != nil {
		b.SetAttributeValue("serial", cty.NumberIntVal(*m.Serial))
	}
	writeText(b, "md5", m.MD5)
	writeText(b, "relation", m.Relation)
	writeBool(b, "replace", m.Replace)
	writeBool(b, "bump_serial", m.BumpSerial)
	writeList(b, "allow", m.Allow)
	m.Own.write(b)
}

// NewManifest returns a plan as a manifest, with the settings that it was planned with. Moves
// that were refused or failed are comments in it, with the reason; what is there already
// is left out.
func NewManifest(p *migrate.Plan, hostname, organization string, s migrate.Settings) *Manifest {
	m := &Manifest{Target: ManifestTarget{Hostname: hostname, Organization: organization}}
	if settings := manifestSettings(s); !settings.empty() {
		m.Defaults = settings
	}
	for _, planned := range p.Moves {
		r := planned.Result
		move := &ManifestMove{Source: r.Source, Workspace: planned.Workspace}
		switch r.Outcome {
		case migrate.WouldMove:
		case migrate.Refused, migrate.Failed:
			move.Reason = r.Message
		default:
			continue
		}
		if r.Snapshot != nil && r.Snapshot.MD5 != "" {
			move.Serial, move.MD5 = &r.Snapshot.Serial, &r.Snapshot.MD5
		}
		move.Relation = ifSet(string(r.Relation))
		move.Replace, move.BumpSerial = ifSet(planned.Replace), ifSet(planned.Bump)
		for _, code := range planned.Allow {
			move.Allow = append(move.Allow, string(code))
		}
		m.Moves = append(m.Moves, move)
	}
	return m
}
