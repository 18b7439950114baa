package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// fingerprints gives each finding its fingerprint. It depends on the code, the severity, the
// states and what in them the finding is about. A state is recognized by its lineage, so a
// file can move and its serial can grow; without a lineage, by its path below the source.
//
// Copies of one state can have the same finding. They are numbered, so that removing one copy
// makes no other finding new.
func (i *Inventory) fingerprints() {
	lineages := map[string]string{}
	for k := range i.Snapshots {
		lineages[i.Snapshots[k].Source] = i.Snapshots[k].Lineage
	}
	met := map[string]int{}
	for k := range i.Findings {
		f := &i.Findings[k]
		base := Digest(string(f.Code), string(f.Severity), strings.Join(i.identities(f, lineages), "\x00"), strings.Join(f.Resources, "\x00"))
		met[base]++
		if f.Fingerprint = base; met[base] > 1 {
			f.Fingerprint = Digest(base, strconv.Itoa(met[base]))
		}
	}
}

// identities returns what identifies a finding's states, however they are called now. A file
// without a lineage that is listed next to one with it, such as a backup, adds nothing.
func (i *Inventory) identities(f *Finding, lineages map[string]string) []string {
	var states, files []string
	for _, source := range f.Sources {
		if lineage := lineages[source]; lineage != "" {
			states = append(states, "lineage "+lineage)
		} else {
			files = append(files, "file "+i.below(source))
		}
	}
	if len(states) == 0 {
		states = files
	}
	slices.Sort(states)
	return slices.Compact(states)
}

// below returns a file's path below the source that it was found in, with slashes.
func (i *Inventory) below(file string) string {
	file = strings.ReplaceAll(file, `\`, "/")
	short := file
	for _, source := range i.Sources {
		source = strings.TrimSuffix(strings.ReplaceAll(source, `\`, "/"), "/") + "/"
		if rest, ok := strings.CutPrefix(file, source); ok && len(rest) < len(short) {
			short = rest
		}
	}
	return short
}

// Digest returns 128 bits of the SHA-256 of texts, in hexadecimal.
func Digest(texts ...string) string {
	h := sha256.New()
	for _, text := range texts {
		h.Write([]byte(strconv.Itoa(len(text)) + ":" + text))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
