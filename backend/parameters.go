package backend

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Parameters parses the query of an address with a scheme. names are the parameters that such
// addresses can have, and repeatable those that may appear more than once. Errors do not show
// values, which may be secrets.
func Parameters(scheme, query string, names []string, repeatable ...string) (url.Values, error) {
	params := url.Values{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil || !slices.Contains(names, name) {
			return nil, fmt.Errorf("%s:// URLs have no parameter %q: they have %s (write a question mark in a name as %%3F)", scheme, rawName, strings.Join(names, ", "))
		}
		value, err := url.QueryUnescape(rawValue)
		switch {
		case err != nil:
			return nil, fmt.Errorf("the value of %s in the %s:// URL is not percent-encoded correctly", name, scheme)
		case value == "":
			return nil, fmt.Errorf("%s in the %s:// URL has no value: write %[1]s=VALUE, or leave it out", name, scheme)
		case params.Has(name) && !slices.Contains(repeatable, name):
			return nil, fmt.Errorf("%s appears twice in the %s:// URL: keep one of them", name, scheme)
		}
		params.Add(name, value)
	}
	return params, nil
}
