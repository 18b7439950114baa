package statefile

import "regexp"

// secretShapes are the shapes of credentials that can be told from other text
// without knowing what they are for. Random text alone is none: identifiers and
// digests look like passwords do.
var secretShapes = []struct {
	name  string
	shape *regexp.Regexp
}{
	{"private key", regexp.MustCompile(`-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----`)},
	// The same in base64: "-----BEGIN " with PRIVATE, RSA, EC, DSA, OPENSSH or ENCRYPTED.
	{"private key", regexp.MustCompile(`LS0tLS1CRUdJTi(?:BQUklWQVRF|BSU0EgUFJJ|BFQyBQUklW|BEU0EgUFJJ|BPUEVOU1NI|BFTkNSWVBU)`)},
	{"AWS access key", regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`)},
	{"GitHub token", regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})`)},
	{"GitLab token", regexp.MustCompile(`\bgl(?:pat|ptt|dt|rt|cbt)-[A-Za-z0-9_-]{20,}`)},
	{"Slack token", regexp.MustCompile(`\bxox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/T[A-Za-z0-9]+/B[A-Za-z0-9]+/[A-Za-z0-9]+`)},
	{"Google API key", regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{35}\b`)},
	{"Stripe key", regexp.MustCompile(`\b[rs]k_live_[A-Za-z0-9]{16,}`)},
	{"HCP Terraform token", regexp.MustCompile(`\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}`)},
	{"Vault token", regexp.MustCompile(`\bhv[sbr]\.[A-Za-z0-9_-]{24,}`)},
	{"npm token", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}\b`)},
	{"JSON web token", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}`)},
	{"Azure storage key", regexp.MustCompile(`(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}`)},
	{"password in a connection string", regexp.MustCompile(`(?i)\b(?:password|pwd)=[^;\s]{4,}`)},
	{"password in a URL", regexp.MustCompile(`\b[a-z][a-z0-9+.-]*://[^\s/?#:@]*:[^\s/?#@]{3,}@[^\s/@]`)},
}

// secretShape names the credential that a text has the shape of, or returns "".
func secretShape(text []byte) string {
	// The shortest of them has more.
	if len(text) < 8 {
		return ""
	}
	for _, s := range secretShapes {
		if s.shape.Match(text) {
			return s.name
		}
	}
	return ""
}

// findSecret reads a value and names the first credential that a text in it
// has the shape of, if *found names none yet.
func (d *document) findSecret(found *string) error {
	depth := d.dec.StackDepth()
	for {
		if d.dec.PeekKind() == '"' {
			quoted, err := d.dec.ReadValue()
			if err != nil {
				return err
			}
			if *found == "" {
				*found = secretShape(d.unquote(quoted))
			}
		} else if _, err := d.dec.ReadToken(); err != nil {
			return err
		}
		if d.dec.StackDepth() <= depth {
			return nil
		}
	}
}
