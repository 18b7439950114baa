package tfesim

import "fmt"

// Personality is the server that a Server behaves like.
type Personality int

const (
	// TFE is a current Terraform Enterprise: a finalized state version becomes current
	// immediately.
	TFE Personality = iota
	// HCP is HCP Terraform: a state version made under a lock is intermediate. When the
	// workspace is unlocked, the newest becomes current, and the lock's other intermediate
	// versions are deleted.
	HCP
	// OldTFE is a Terraform Enterprise without signed uploads: it answers a state version
	// without its state with 422 "param is missing or the value is empty: state". It
	// refuses to unlock with a pending version with 400, not 503.
	OldTFE
	// Lax is a compatible server that checks less (modeled on observations of OTF): it
	// accepts states in workspaces that are unlocked or locked by someone else, ignores
	// lineage, compares nothing with uploaded bytes, reports conflicts as 500, and has no
	// projects.
	Lax
)

var personalityNames = map[Personality]string{TFE: "tfe", HCP: "hcp", OldTFE: "old-tfe", Lax: "lax"}

// String returns the name that ParsePersonality reads.
func (p Personality) String() string {
	if n, ok := personalityNames[p]; ok {
		return n
	}
	return fmt.Sprintf("Personality(%d)", int(p))
}

// ParsePersonality parses "tfe", "hcp", "old-tfe" or "lax".
func ParsePersonality(name string) (Personality, error) {
	for p, n := range personalityNames {
		if n == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("unknown personality %q: use tfe, hcp, old-tfe or lax", name)
}

// product returns the product's name as in error texts.
func (p Personality) product() string {
	if p == HCP {
		return "Terraform Cloud"
	}
	return "Terraform Enterprise"
}

// appName returns the TFP-AppName header, from which go-tfe distinguishes cloud and
// enterprise.
func (p Personality) appName() string {
	switch p {
	case HCP:
		return "HCP Terraform"
	case TFE:
		return "Terraform Enterprise"
	}
	return ""
}

// apiVersion returns the TFP-API-Version header. Terraform's cloud block requires at least
// 2.5 to find workspaces by tags.
func (p Personality) apiVersion() string {
	if p == OldTFE {
		return "2.5"
	}
	return "2.6"
}

// stillPendingStatus returns the status of an unlock that is refused because the newest
// state version has not arrived.
func (p Personality) stillPendingStatus() int {
	if p == OldTFE {
		return 400
	}
	return 503
}
