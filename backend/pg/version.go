package pg

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"tfhaul/backend"
)

// id returns the ID of a version of a workspace.
func (p pin) id(workspace string) string {
	return escape(workspace) + "?" + url.Values{"xmin": {p.xmin}, "md5": {p.md5}, "size": {strconv.FormatInt(p.size, 10)}}.Encode()
}

// parseID parses the ID of a version.
func parseID(id string) (workspace string, p pin, err error) {
	name, query, _ := strings.Cut(id, "?")
	workspace, err = url.QueryUnescape(name)
	values, bad := url.ParseQuery(query)
	size, wrong := strconv.ParseInt(values.Get("size"), 10, 64)
	if err != nil || bad != nil || wrong != nil || values.Get("xmin") == "" || values.Get("md5") == "" {
		return "", pin{}, fmt.Errorf("not a version of a row: %q", id)
	}
	return workspace, pin{values.Get("xmin"), values.Get("md5"), size}, nil
}

// version returns the version that the pin identifies. PostgreSQL keeps no older ones.
func (p pin) version(workspace string) *backend.Version {
	return &backend.Version{ID: p.id(workspace), Size: p.size, MD5: p.md5}
}
