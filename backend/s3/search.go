package s3

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tfhaul/backend"
)

// A prefix is a backend for the objects below a prefix, or for one object.
type prefix struct {
	bucket *bucket
	url    *location
}

// States lists the states below the prefix, page by page.
func (p *prefix) States(ctx context.Context, f backend.Filter) (*backend.Listing, error) {
	if !p.url.searches() {
		return &backend.Listing{States: []backend.State{newObject(p.bucket, p.url, p.url.key)}}, nil
	}
	s := &searcher{
		prefix: p, locked: map[string]bool{},
		Selection: backend.Selection{Filter: f, Prefix: p.url.key, Name: p.url.name, Listing: &backend.Listing{}},
	}
	listed := time.Now()
	if err := s.pages(ctx); err != nil {
		return nil, err
	}
	for _, object := range s.found {
		object.listed, object.lockListed = listed, s.locked[object.key]
		s.Listing.States = append(s.Listing.States, object)
	}
	s.Listing.Sort()
	if len(s.Listing.States) == 0 {
		return s.Listing, f.Nothing(p.url.name(p.url.key), s.Listing)
	}
	return s.Listing, nil
}

type searcher struct {
	*prefix
	backend.Selection
	found  []*object
	locked map[string]bool // keys of states with a listed lock
}

// pages requests one page after another.
func (s *searcher) pages(ctx context.Context) error {
	r := request{doing: "list", object: s.url.name(s.url.key), action: "s3:ListBucket"}
	var next *string
	for {
		page, err := ask(ctx, s.bucket, r, func(here ...func(*awss3.Options)) (*awss3.ListObjectsV2Output, error) {
			return s.bucket.client.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{
				Bucket: &s.bucket.name, Prefix: filled(s.url.key), ContinuationToken: next,
				// XML cannot represent every character that a key may contain.
				EncodingType: types.EncodingTypeUrl,
			}, here...)
		})
		if err != nil {
			return err
		}
		if err := s.page(page); err != nil {
			return err
		}
		if !aws.ToBool(page.IsTruncated) {
			return nil
		}
		before := aws.ToString(next)
		if next = page.NextContinuationToken; aws.ToString(next) == "" || *next == before {
			// Treating an incomplete listing as complete would lose states.
			return fmt.Errorf("cannot list %q: the server reports more keys, but not where they begin", r.object)
		}
	}
}

func (s *searcher) page(page *awss3.ListObjectsV2Output) error {
	for _, entry := range page.Contents {
		key := aws.ToString(entry.Key)
		if page.EncodingType == types.EncodingTypeUrl {
			decoded, err := url.QueryUnescape(key)
			if err != nil {
				return fmt.Errorf("cannot list %q: the server encodes a key incorrectly: %q", s.url.name(s.url.key), key)
			}
			key = decoded
		}
		if relative, ok := s.Below(key); ok {
			s.entry(key, relative)
		}
	}
	return nil
}

// entry takes the object at key if it is selected.
func (s *searcher) entry(key, relative string) {
	if state, ok := strings.CutSuffix(key, lockExt); ok {
		s.locked[state] = true // even if excluded, because it costs nothing
	}
	if s.Takes(relative) {
		s.found = append(s.found, newObject(s.bucket, s.url, key))
	}
}
