package tfesim_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"

	tfe "github.com/hashicorp/go-tfe"

	"tfhaul/tfesim"
	"tfhaul/tfesim/internal/simtest"
)

// A sim is a running server with clients.
type sim struct{ *simtest.Sim }

// start runs a server for the test.
func start(t testing.TB, o tfesim.Options) *sim {
	t.Helper()
	return &sim{simtest.Start(t, o)}
}

// state returns a small state.
func state(serial int64, lineage string) []byte {
	return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.4","serial":%d,"lineage":%q,"outputs":{},"resources":[]}`, serial, lineage)
}

func md5Of(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// versionDocument returns the body of a create; an empty lineage or nil state is left out.
func versionDocument(serial int64, md5, lineage string, raw []byte, more string) string {
	attributes := fmt.Sprintf(`"serial":%d,"md5":%q`, serial, md5)
	if lineage != "" {
		attributes += fmt.Sprintf(`,"lineage":%q`, lineage)
	}
	if raw != nil {
		attributes += fmt.Sprintf(`,"state":%q`, base64.StdEncoding.EncodeToString(raw))
	}
	return `{"data":{"type":"state-versions","attributes":{` + attributes + more + `}}}`
}

const lineage = "871d1b4a-e579-fb7c-ffdb-f0c858a647a7"

func createOptions(serial int64, raw []byte) tfe.StateVersionCreateOptions {
	return tfe.StateVersionCreateOptions{Serial: tfe.Int64(serial), MD5: tfe.String(md5Of(raw)), Lineage: tfe.String(lineage)}
}
