package pairing

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"tfhaul/migrate"
	"tfhaul/plainhcl"
	"tfhaul/plainwords"
)

// A Manifest is a plan as a file that people review and edit: which state goes into which
// workspace, what the plan found, and every setting that affects the moves.
type Manifest struct {
	// Dir is the directory in which the plan was made: relative names of sources are below
	// it. It stands in a comment; "" for none.
	Dir    string
	Target ManifestTarget `hcl:"target,block"`
	// Defaults are the settings of moves without settings of their own.
	Defaults *ManifestSettings `hcl:"defaults,block"`
	Matches  []*ManifestMatch  `hcl:"match,block"`
	Moves    []*ManifestMove   `hcl:"move,block"`
}

// ManifestTarget is the target of every move in a manifest: an organization, or the address
// of another container of states.
type ManifestTarget struct {
	// Hostname may include a port.
	Hostname     string `hcl:"hostname,optional"`
	Organization string `hcl:"organization,optional"`
	Address      string `hcl:"address,optional"`
}

// Container returns the address of the target.
func (t ManifestTarget) Container() string {
	if t.Address != "" {
		return t.Address
	}
	return t.Hostname + "/" + t.Organization
}

// ManifestMove is one move of a manifest.
type ManifestMove struct {
	// Source names the state, as on the command line.
	Source string `hcl:"source,label"`
	// Workspace is the state's name at the target. It stands in the attribute key if the
	// target has keys.
	Workspace string `hcl:"workspace,optional"`
	Key       string `hcl:"key,optional"`
	// Serial and MD5 are those of the source when the plan was made. The move is refused if
	// the source has changed. Without them, the source is moved as it is.
	Serial *int64  `hcl:"serial"`
	MD5    *string `hcl:"md5"`
	// Configuration is the directory of the state's configuration, for --prove; "" if it is not
	// known.
	Configuration string `hcl:"configuration,optional"`
	// Relation is what the plan found. It is for the reader only.
	Relation *string `hcl:"relation"`
	// Replace and BumpSerial correspond to --replace and --bump-serial.
	Replace    *bool `hcl:"replace"`
	BumpSerial *bool `hcl:"bump_serial"`
	// Audit are the codes of what an audit found when the plan was made, and that stop the
	// move unless they are in Allow.
	Audit []string `hcl:"audit,optional"`
	// Allow corresponds to --allow.
	Allow []string `hcl:"allow,optional"`
	// Own are the settings of this move alone. In the file they are among its other
	// attributes, so they are in Rest while the manifest is decoded.
	Own  ManifestSettings
	Rest hcl.Body `hcl:",remain"`
	// Reason is why the move is written as a comment, or "".
	Reason string
}

// Live returns how many moves are not comments.
func (m *Manifest) Live() int {
	n := 0
	for _, move := range m.Moves {
		if move.Reason == "" {
			n++
		}
	}
	return n
}

// Expectation returns what the manifest expects of the source, or nil.
func (m *ManifestMove) Expectation() *migrate.Expectation {
	if m.Serial == nil || m.MD5 == nil {
		return nil
	}
	return &migrate.Expectation{Serial: *m.Serial, MD5: *m.MD5}
}

// maxManifest limits the size of a manifest, in bytes: MaxManifestMoves moves with 1 KB of
// names each.
const maxManifest = 32 << 20

// MaxManifestMoves is how many moves, as tfhaul plan writes them, a manifest can have: a move
// has 31 tokens, however long its names are.
const MaxManifestMoves = 30_000

// manifestWriter is the command that writes manifests.
const manifestWriter = "tfhaul plan --out"

// ReadManifest reads a manifest. Messages refer to it by name. The error says where the
// problem is and what to do.
func ReadManifest(r io.Reader, name string) (*Manifest, error) {
	src, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("the manifest %q cannot be read: %w", name, plainwords.WithoutPath(err))
	}
	if len(src) > maxManifest {
		return nil, fmt.Errorf("the manifest %s is larger than %d MB", name, maxManifest>>20)
	}
	if plainhcl.TooLong(src) {
		return nil, fmt.Errorf("the manifest %s is larger than %d moves, as tfhaul plan --out writes them: split it into several manifests", name, MaxManifestMoves)
	}
	file, err := plainhcl.Parse(src, name, manifestWriter)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Dir: dirOf(src)}
	if diags := gohcl.DecodeBody(file.Body, nil, m); diags.HasErrors() {
		return nil, plainhcl.Error(diags, manifestWriter)
	}
	for _, move := range m.Moves {
		if diags := gohcl.DecodeBody(move.Rest, nil, &move.Own); diags.HasErrors() {
			return nil, plainhcl.Error(diags, manifestWriter)
		}
		move.Rest = nil
	}
	for _, match := range m.Matches {
		if diags := gohcl.DecodeBody(match.Rest, nil, &match.Settings); diags.HasErrors() {
			return nil, plainhcl.Error(diags, manifestWriter)
		}
		match.Rest = nil
	}
	if err := m.check(name); err != nil {
		return nil, err
	}
	if err := m.checkSettings(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// check finds problems that HCL's grammar allows.
func (m *Manifest) check(name string) error {
	switch {
	case m.Target.Address != "" && m.Target.Hostname+m.Target.Organization != "":
		return fmt.Errorf("%s: the target has both an address and a hostname or organization: use only one", name)
	case m.Target.Address == "" && (m.Target.Hostname == "" || m.Target.Organization == ""):
		return fmt.Errorf("%s: the target's hostname and organization must not be empty; a target of another kind has an address", name)
	case len(m.Moves) == 0:
		return fmt.Errorf("%s: no move blocks, so there is nothing to do", name)
	}
	seen := map[string]string{}
	for _, move := range m.Moves {
		switch {
		case move.Workspace != "" && move.Key != "":
			return fmt.Errorf("%s: the move of %q has both a workspace and a key: use only one", name, move.Source)
		case move.Source == "" || move.Workspace+move.Key == "":
			return fmt.Errorf("%s: the source and the workspace of a move must not be empty: %q into %q", name, move.Source, move.Workspace)
		case (move.Serial == nil) != (move.MD5 == nil):
			return fmt.Errorf("%s: the move of %q has only one of serial and md5: write both, as tfhaul plan does, or neither", name, move.Source)
		case seen[move.Source] != "":
			return fmt.Errorf("%s: %q cannot go into both %s and %s: move it into one", name, move.Source, seen[move.Source], move.Workspace+move.Key)
		}
		seen[move.Source] = move.Workspace + move.Key
		for _, code := range slices.Concat(move.Audit, move.Allow) {
			if err := migrate.CheckAllow(code); err != nil {
				return fmt.Errorf("%s: the move of %q: audit and allow: %w", name, move.Source, err)
			}
		}
	}
	return nil
}

// checkNames refuses a workspace where the target has keys, and a key where it has workspaces.
// Afterwards, each name is in Workspace.
func (m *Manifest) checkNames(keys bool) error {
	for at, settings := range m.allSettings() {
		if what := settings.describesMore(); keys && what != "" {
			return fmt.Errorf("%s: %s holds no workspaces, and %s is a setting of a workspace: delete it", at, m.Target.Container(), what)
		}
	}
	for _, move := range m.Moves {
		switch {
		case keys && move.Workspace != "":
			return fmt.Errorf("the move of %q: %s holds no workspaces: write key = %q", move.Source, m.Target.Container(), move.Workspace)
		case !keys && move.Key != "":
			return fmt.Errorf("the move of %q: %s holds workspaces: write workspace = %q", move.Source, m.Target.Container(), move.Key)
		case keys:
			move.Workspace, move.Key = move.Key, ""
		}
	}
	return nil
}

// WriteTo writes the manifest in a form for people to review, one block at a time, because
// HCL's writer needs about 20 KB for each.
func (m *Manifest) WriteTo(w io.Writer) (int64, error) {
	if n := len(m.Moves); n > MaxManifestMoves {
		return 0, fmt.Errorf("it would have %d moves, but tfhaul migrate reads at most %d: plan fewer states, with --include", n, MaxManifestMoves)
	}
	out := bufio.NewWriter(w)
	if m.Dir != "" {
		fmt.Fprintf(out, "%s%q\n\n", dirComment, m.Dir)
	}
	file := hclwrite.NewEmptyFile()
	target := file.Body().AppendNewBlock("target", nil).Body()
	writeText(target, "hostname", ifSet(m.Target.Hostname))
	writeText(target, "organization", ifSet(m.Target.Organization))
	writeText(target, "address", ifSet(m.Target.Address))
	if m.Defaults != nil {
		file.Body().AppendNewline()
		m.Defaults.write(file.Body().AppendNewBlock("defaults", nil).Body())
	}
	for _, match := range m.Matches {
		file.Body().AppendNewline()
		match.Settings.write(file.Body().AppendNewBlock("match", []string{match.Glob}).Body())
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
	writeText(b, "key", ifSet(m.Key))
	if m.Serial != nil {
		b.SetAttributeValue("serial", cty.NumberIntVal(*m.Serial))
	}
	writeText(b, "md5", m.MD5)
	writeText(b, "configuration", ifSet(m.Configuration))
	writeText(b, "relation", m.Relation)
	writeBool(b, "replace", m.Replace)
	writeBool(b, "bump_serial", m.BumpSerial)
	writeList(b, "audit", m.Audit)
	writeList(b, "allow", m.Allow)
	m.Own.write(b)
}

// NewManifest returns a plan and its settings as a manifest. Refused and failed moves, and
// those of copies, are comments with the reason. States that are already there are left out.
func NewManifest(p *migrate.Plan, target ManifestTarget, s migrate.Settings) *Manifest {
	m := &Manifest{Target: target}
	if settings := manifestSettings(s); !settings.empty() {
		m.Defaults = settings
	}
	copies := copiesIn(p.Moves)
	for i, planned := range p.Moves {
		r := planned.Result
		move := &ManifestMove{Source: r.Source, Workspace: planned.Workspace, Configuration: planned.Configuration}
		if target.Address != "" {
			move.Workspace, move.Key = "", planned.Workspace
		}
		switch r.Outcome {
		case migrate.WouldMove:
			move.Reason = copies[i]
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
		if planned.Own != nil {
			move.Own = manifestSettings(*planned.Own).beyond(manifestSettings(s))
		}
		for _, o := range planned.ListObjections() {
			move.Audit = append(move.Audit, string(o.Code))
		}
		for _, code := range planned.Allow {
			move.Allow = append(move.Allow, string(code))
		}
		m.Moves = append(m.Moves, move)
	}
	return m
}
