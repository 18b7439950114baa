package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strings"

	"tfhaul/backend"
)

// versionID matches IDs that are the same part of a file name on every system.
var versionID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// OlderName implements backend.HistoryTarget. A file has no versions, so each older version has
// a file of its own: <serial>-<ID>.tfstate, beside terraform.tfstate, or in a directory that is
// named after a file with another name. A digest stands for an ID that no file can have.
func (t *target) OlderName(name string, serial int64, id string) (string, error) {
	if !versionID.MatchString(id) {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:8])
	}
	dir, base := path.Split(name)
	if base != stateFile {
		named, isState := strings.CutSuffix(base, backend.StateExt)
		if !isState || named == "" {
			named = base + ".versions"
		}
		dir = path.Join(dir, named)
	}
	older := path.Join(dir, fmt.Sprintf("%d-%s%s", serial, id, backend.StateExt))
	return older, checkName(older)
}

// CheckHistory implements backend.HistoryTarget. Nothing uses the older versions.
func (t *target) CheckHistory(context.Context, *backend.Standing) error { return nil }

// HistoryCalls implements backend.HistoryTarget.
func (t *target) HistoryCalls(int) int { return 0 }
