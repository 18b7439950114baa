package tfesim

import "fmt"

// Personality says which server of the family a Server behaves like.
type Personality int

const (
	// TFE is a current Terraform Enterprise: a finalized state version is current at once.
	TFE Personality = iota
	// HCP is HCP Terraform: a state version made under a lock is intermediate and becomes
	// current when the workspace is unlocked; the other intermediate ones of that lock are
	// deleted then.
	HCP
	// OldTFE is a Terraform Enterprise without signed uploads: a state version without its
	// state is answered 422 "param is missing or the value is empty: state". Unlocking while
	// a version is pending is 400 there, not 503.
	OldTFE
	// Lax is a compatible server that checks less (modelled on what OTF was seen to do): it
	// takes state into workspaces that are not locked or locked by someone else, ignores
	// lineage, compares nothing with bytes that were uploaded, answers conflicts with 500,
	// and has no projects.
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

// ParsePersonality reads "tfe", "hcp", "old-tfe" or "lax".
func ParsePersonality(name string) (Personality, error) {
	for p, n := range personalityNames {
		if n == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("there is no personality %q: use tfe, hcp, old-tfe or lax", name)
}

// product is the name of the product as it stands in error texts.
func (p Personality) product() string {
	if p == HCP {
		return "Terraform Cloud"
	}
	return "Terraform Enterprise"
}

// appName is the TFP-AppName header, from which go-tfe tells cloud and enterprise apart.
func (p Personality) appName() string {
	switch p {
	case HCP:
		return "HCP Terraform"
	case TFE:
		return "Terraform Enterprise"
	}
	return ""
}

// apiVersion is the TFP-API-Version header. Terraform's cloud block wants at least 2.5 for
// workspaces found by tags.
func (p Personality) apiVersion() string {
	if p == OldTFE {
		return "2.5"
	}
	return "2.6"
}

// stillPendingStatus is the status of an unlock that is refused because the newest state
// version has not arrived yet.
func (p Personality) stillPendingStatus() int {
	if p == OldTFE {
		return 400
	}
	return 503
}
