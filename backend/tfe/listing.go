package tfe

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	gotfe "github.com/hashicorp/go-tfe"
)

// The API's limit for a page, and ours for a listing: a million workspaces.
const (
	maxPerPage = 100
	maxPages   = 10_000
)

// A page is one page of a listing.
type page[T any] struct {
	items []T
	next  int // the number of the next page; 0 means that this is the last one
	total int // how many items all pages have; 0 if the server does not say
}

// list lists what is at a path of the API, fetching pages as they are consumed. item
// converts each element, which may refer to the included resources.
func list[D, T any](ctx context.Context, c *Client, op, path string, query url.Values, item func(*D, []namedResource) (T, error)) iter.Seq2[T, error] {
	return pages(op, pageReader(ctx, c, op, path, query, item))
}

// pageReader returns a function that reads one page of such a listing.
func pageReader[D, T any](ctx context.Context, c *Client, op, path string, query url.Values, item func(*D, []namedResource) (T, error)) func(number int) (page[T], error) {
	return func(number int) (page[T], error) {
		query.Set("page[number]", strconv.Itoa(number))
		query.Set("page[size]", strconv.Itoa(maxPerPage))
		return send(ctx, c, op, http.MethodGet, path+"?"+query.Encode(), nil, pageOf(item))
	}
}

// listViaGoTFE lists what a method of go-tfe does.
func listViaGoTFE[G, T any](ctx context.Context, c *Client, op string, convert func(G) T,
	read func(context.Context, *gotfe.Client, gotfe.ListOptions) ([]G, *gotfe.Pagination, error)) iter.Seq2[T, error] {
	return pages(op, func(number int) (page[T], error) {
		return viaGoTFE(ctx, c, op, func(ctx context.Context, api *gotfe.Client) (page[T], error) {
			items, next, err := read(ctx, api, gotfe.ListOptions{PageNumber: number, PageSize: maxPerPage})
			if err != nil {
				return page[T]{}, err
			}
			p := page[T]{items: make([]T, len(items))}
			for i, item := range items {
				p.items[i] = convert(item)
			}
			if next != nil {
				p.next = next.NextPage
			}
			return p, nil
		})
	})
}

// pages iterates over a paged listing. It fails if the listing does not end, or is cut
// short, so that an incomplete listing is never taken for a complete one.
func pages[T any](op string, read func(number int) (page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for number := 1; ; {
			p, err := read(number)
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range p.items {
				if !yield(item, nil) {
					return
				}
			}
			if p.next == 0 {
				return
			}
			if p.next <= number || len(p.items) == 0 || p.next > maxPages {
				yield(none, &Error{Op: op, Code: Rejected, Err: fmt.Errorf("the listing does not end: page %d is followed by page %d", number, p.next)})
				return
			}
			number = p.next
		}
	}
}

// pageOf returns a decoder for a page; item converts each of its elements.
func pageOf[D, T any](item func(*D, []namedResource) (T, error)) func([]byte) (page[T], error) {
	return func(raw []byte) (page[T], error) {
		var (
			doc  document[[]*D]
			read page[T]
		)
		if err := understand(raw, &doc); err != nil {
			return read, err
		}
		if doc.Data == nil {
			return read, errNoDocument
		}
		if next := doc.Meta.Pagination; next != nil {
			read.next, read.total = next.NextPage, next.TotalCount
		}
		for _, d := range doc.Data {
			if d == nil {
				return read, errNoDocument
			}
			made, err := item(d, doc.Included)
			if err != nil {
				return read, err
			}
			read.items = append(read.items, made)
		}
		return read, nil
	}
}
