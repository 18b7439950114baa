package audit

import (
	"context"
	"errors"

	"tfhaul/statefile"
)

var errNoContent = errors.New("one of them changed or could not be read again")

// readContents digests the contents of files that have the same lineage and serial but
// different bytes. It reads them a second time, which very few files need. It returns
// only hopeless errors.
func (t *taking) readContents(ctx context.Context) error {
	type version struct {
		lineage string
		serial  int64
	}
	first := map[version]int{}
	distinct := map[version]map[string]int{} // for versions with several: the first file of each MD5
	for i, f := range t.files {
		if f.role == roleBackup || !f.IsState() || f.Lineage == "" {
			continue
		}
		v := version{f.Lineage, f.Serial}
		k, met := first[v]
		switch {
		case !met:
			first[v] = i
		case t.files[k].MD5 != f.MD5:
			if distinct[v] == nil {
				distinct[v] = map[string]int{t.files[k].MD5: k}
			}
			if _, met := distinct[v][f.MD5]; !met {
				distinct[v][f.MD5] = i
			}
		}
	}
	var local, remote []int
	for _, files := range distinct {
		for _, i := range files {
			if t.files[i].object.Traits().Local {
				local = append(local, i)
			} else {
				remote = append(remote, i)
			}
		}
	}
	t.contents = map[string]*statefile.Content{}
	read := func(ctx context.Context, i int) error { return t.readContent(ctx, t.files[i]) }
	if err := each(ctx, local, t.Parallelism, read); err != nil {
		return err
	}
	return each(ctx, remote, t.RemoteParallelism, read)
}

// readContent digests a file's content, unless the file has changed.
func (t *taking) readContent(ctx context.Context, f *file) error {
	body, _, err := f.object.Open(ctx, nil)
	if err != nil {
		return hopeless(ctx, err)
	}
	content, err := statefile.ReadContent(&interruptible{ctx, body})
	_ = body.Close() // the content's MD5 was checked
	if err != nil {
		return hopeless(ctx, err)
	}
	if content.MD5 == f.MD5 {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.contents[f.MD5] = content
	}
	return nil
}

// difference returns how two files of the same lineage and serial differ.
func (t *taking) difference(a, b *file) (statefile.Difference, error) {
	if a.MD5 == b.MD5 {
		return statefile.Difference{}, nil
	}
	one, other := t.contents[a.MD5], t.contents[b.MD5]
	if one == nil || other == nil {
		return statefile.Difference{}, errNoContent
	}
	return one.Difference(other), nil
}

// sameContent reports whether two files of the same lineage and serial hold the same
// resources and outputs, as far as known.
func (t *taking) sameContent(a, b *file) bool {
	d, err := t.difference(a, b)
	return err == nil && !d.State
}
