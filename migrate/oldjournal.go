package migrate

import (
	"encoding/json"
	"net/url"

	"tfhaul/backend"
)

// versionOfPin returns the version of a source that a line of an old journal calls its
// pin; nil if there is no pin. The members of a pin are those of today's IDs.
func versionOfPin(line []byte) *backend.Version {
	var old struct {
		Pin map[string]json.RawMessage `json:"pin"`
	}
	if json.Unmarshal(line, &old) != nil || old.Pin == nil {
		return nil
	}
	id := url.Values{}
	for name, value := range old.Pin {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value) // a number
		}
		id.Set(name, text)
	}
	v := &backend.Version{MD5: id.Get("md5")}
	id.Del("md5")
	v.ID = id.Encode()
	return v
}
