package s3

import (
	"path"
	"strings"

	"tfhaul/backend"
)

// placeInBucket returns the place of the object at key. Terraform keeps the state of the
// default workspace at the configuration's key, and all others at
// <workspace_key_prefix>/<workspace>/<key> (internal/backend/remote-state/s3,
// Backend.path). The default prefix "env:" is recognized wherever it is a complete
// directory name. Other prefixes are recognized only if the URL names them, because they
// look like any directory.
//
// Dir is relative to what is searched if the configuration's key is below it. The whole key
// is considered, even if the search begins inside it.
func placeInBucket(u *location, key string) backend.Place {
	place := backend.Place{Key: key, Bucket: u.bucket, Workspace: backend.DefaultWorkspace, Root: u.bucket}
	searched := ""
	if u.searches() {
		searched = u.key
	}
	if searched != "" {
		place.Root = path.Base(searched)
	}
	place.Searched = place.Root
	configuration := key
	if prefix, workspace, rest, ok := u.splitWorkspace(key); ok {
		place.Workspace, configuration, place.Root = workspace, rest, u.bucket
		// A custom prefix, as in network/prod/terraform.tfstate, may be all that
		// distinguishes two configurations.
		parts := strings.Split(strings.TrimSuffix(prefix, "/"+defaultKeyPrefix), "/")
		if chosen := parts[len(parts)-1]; chosen != defaultKeyPrefix && chosen != "" {
			place.Root = chosen
		}
	}
	dir, name := path.Split(strings.TrimPrefix(configuration, searched))
	place.Dir = strings.Trim(dir, "/")
	place.Base = strings.TrimSuffix(name, backend.StateExt)
	return place
}

// splitWorkspace splits the key of a workspace other than the default one.
func (u *location) splitWorkspace(key string) (prefix, workspace, rest string, ok bool) {
	for _, prefix := range u.keyPrefixes {
		if after, found := strings.CutPrefix(key, prefix+"/"); found {
			if workspace, rest, ok = cutWorkspace(after); ok {
				return prefix, workspace, rest, true
			}
		}
	}
	prefix, after, found := cutSegment(key, defaultKeyPrefix)
	if !found {
		return "", "", "", false
	}
	workspace, rest, ok = cutWorkspace(after)
	return prefix, workspace, rest, ok
}

// cutSegment cuts key after its first directory named segment.
func cutSegment(key, segment string) (upTo, after string, found bool) {
	if after, found := strings.CutPrefix(key, segment+"/"); found {
		return segment, after, true
	}
	before, after, found := strings.Cut(key, "/"+segment+"/")
	return before + "/" + segment, after, found
}

func cutWorkspace(s string) (workspace, rest string, ok bool) {
	workspace, rest, ok = strings.Cut(s, "/")
	return workspace, rest, ok && workspace != "" && rest != ""
}
