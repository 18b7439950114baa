package source

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// searchS3 lists the states below a prefix, page by page. What local search takes and skips, and why,
// holds here too.
func searchS3(ctx context.Context, b *bucket, u *s3URL, o FindOptions) (*Listing, error) {
	s := &s3Searcher{
		bucket: b, url: u, opts: o, listing: &Listing{},
		locked: map[string]bool{}, directories: map[string]bool{},
	}
	listed := time.Now()
	if err := s.pages(ctx); err != nil {
		return nil, err
	}
	for _, object := range s.found {
		object.listed, object.lockListed = listed, s.locked[object.key]
		s.listing.Objects = append(s.listing.Objects, object)
	}
	slices.SortFunc(s.listing.Objects, func(a, b Object) int { return cmp.Compare(a.Place().Key, b.Place().Key) })
	slices.SortFunc(s.listing.Skipped, func(a, b Skip) int { return cmp.Compare(a.Name, b.Name) })
	if len(s.listing.Objects) == 0 {
		return s.listing, &NoMatchError{Ref: u.name(u.key), Include: o.include(), Exclude: o.Exclude, Skipped: len(s.listing.Skipped)}
	}
	return s.listing, nil
}

type s3Searcher struct {
	bucket  *bucket
	url     *s3URL
	opts    FindOptions
	listing *Listing

	found       []*s3Object
	locked      map[string]bool // keys of states whose lock was listed
	directories map[string]bool // whether what lies in a directory is searched, by its relative path
}

// pages asks for page after page.
func (s *s3Searcher) pages(ctx context.Context) error {
	r := request{doing: "list", object: s.url.name(s.url.key), action: "s3:ListBucket"}
	var next *string
	for {
		page, err := ask(ctx, s.bucket, r, func(here ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
			return s.bucket.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
				Bucket: &s.bucket.name, Prefix: filled(s.url.key), ContinuationToken: next,
				// XML cannot carry every character a key may have.
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
			// Taking what came so far for all there is would lose states.
			return fmt.Errorf("cannot list %q: the server says that there is more and not where it begins", r.object)
		}
	}
}

func (s *s3Searcher) page(page *s3.ListObjectsV2Output) error {
	for _, entry := range page.Contents {
		key := aws.ToString(entry.Key)
		if page.EncodingType == types.EncodingTypeUrl {
			decoded, err := url.QueryUnescape(key)
			if err != nil {
				return fmt.Errorf("cannot list %q: the server encodes a key in a way that cannot be read: %q", s.url.name(s.url.key), key)
			}
			key = decoded
		}
		if relative, ok := strings.CutPrefix(key, s.url.key); ok && relative != "" && !strings.HasSuffix(key, "/") {
			s.entry(key, relative)
		}
	}
	return nil
}

// entry takes the object at key if it was asked for, or says why not.
func (s *s3Searcher) entry(key, relative string) {
	if state, ok := strings.CutSuffix(key, lockExt); ok {
		s.locked[state] = true // also of what is excluded: that costs nothing
	}
	dir, name := splitKey(relative)
	if !s.searched(dir) || s.opts.excludes(relative) {
		return
	}
	switch {
	case isLockFile(name):
		s.skip(key, SkipLockFile, "describes a lock, is not a state")
	case strings.HasSuffix(name, ".backup") && strings.Contains(name, stateExt):
		s.skip(key, SkipBackup, "is what the state was before its last write: name it alone to use it")
	case !s.opts.takes(relative):
	case name == erroredFile:
		s.skip(key, SkipErrored, "was written by a Terraform that could not save its state, so it is likely newer than what the backend holds: compare the two, then name it alone or remove it")
	default:
		s.found = append(s.found, newS3Object(s.bucket, s.url, key))
	}
}

// searched says whether what lies in the directory dir is looked at: neither it nor one above it is
// excluded, and none is one that never holds states.
func (s *s3Searcher) searched(dir string) bool {
	if dir == "" {
		return true
	}
	if known, ok := s.directories[dir]; ok {
		return known
	}
	above, _ := splitKey(dir)
	yes := s.searched(above) && !s.opts.excludes(dir)
	if yes {
		name := path.Base(dir)
		skip, skipped := skippedDirs[name]
		if skipped {
			s.skip(s.url.key+dir+"/", skip.Code, skip.Reason)
		}
		yes = !skipped && name != gitDir
	}
	s.directories[dir] = yes
	return yes
}

func (s *s3Searcher) skip(key, code, reason string) {
	s.listing.Skipped = append(s.listing.Skipped, Skip{Name: s.url.name(key), Code: code, Reason: reason})
}
