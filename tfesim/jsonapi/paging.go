package jsonapi

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
)

const (
	defaultPageSize = 20
	maxPageSize     = 100
)

// page cuts a list to the page that the query asks for and returns the links and the meta
// block that go with it. Sizes above 100 are taken as 100, as the API does.
func page[T any](r *http.Request, all []T) (part []T, links, meta map[string]any, err error) {
	q := r.URL.Query()
	number, err := pageParameter(q, "page[number]", 1)
	if err != nil {
		return nil, nil, nil, err
	}
	size, err := pageParameter(q, "page[size]", defaultPageSize)
	if err != nil {
		return nil, nil, nil, err
	}
	size = min(size, maxPageSize)

	total := (len(all) + size - 1) / size
	pages := max(total, 1)
	// An address beyond the last page is an empty page, not an error.
	from := len(all)
	if number <= pages {
		from = min((number-1)*size, len(all))
	}
	part = all[from:min(from+size, len(all))]

	at := func(n int) string {
		v := maps.Clone(q)
		v.Set("page[number]", strconv.Itoa(n))
		v.Set("page[size]", strconv.Itoa(size))
		return Origin(r) + r.URL.Path + "?" + v.Encode()
	}
	var prev, next any
	links = map[string]any{"self": at(number), "first": at(1), "last": at(pages), "prev": nil, "next": nil}
	if number > 1 {
		prev = min(number-1, pages)
		links["prev"] = at(min(number-1, pages))
	}
	if number < pages {
		next = number + 1
		links["next"] = at(number + 1)
	}
	meta = map[string]any{"pagination": map[string]any{
		"current-page": number,
		"page-size":    size,
		"prev-page":    prev,
		"next-page":    next,
		"total-pages":  pages,
		"total-count":  len(all),
	}}
	return part, links, meta, nil
}

func pageParameter(q url.Values, name string, def int) (int, error) {
	s := q.Get(name)
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, BadRequest("%s must be a positive number", name)
	}
	return n, nil
}

// List answers with the page of all that the request asks for. show renders one element. include,
// which may be nil, returns the resources to include with it; each of them is included once.
func List[T any](r *http.Request, all []T, show func(T) Resource, include func(T) ([]Resource, error)) (*Answer, error) {
	part, links, meta, err := page(r, all)
	if err != nil {
		return nil, err
	}
	data := []Resource{}
	var included []Resource
	seen := map[Ref]bool{}
	for _, one := range part {
		data = append(data, show(one))
		if include == nil {
			continue
		}
		more, err := include(one)
		if err != nil {
			return nil, err
		}
		for _, i := range more {
			if id := (Ref{i.ID, i.Type}); !seen[id] {
				seen[id] = true
				included = append(included, i)
			}
		}
	}
	return OK(Document{Data: data, Included: included, Links: links, Meta: meta}), nil
}

// Itself is the show function for lists of resources.
func Itself(r Resource) Resource { return r }
