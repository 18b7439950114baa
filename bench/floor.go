package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"tfhaul/migrate"
)

// floor is the role of the bare loop. For each line "file<TAB>workspace" of the file in the
// first argument it sends the requests and the bytes of a move, eight moves in parallel,
// and checks nothing. It is a page of plain Go: it holds whole states in memory, and
// decodes the one response it needs with encoding/json. With a second argument it keeps a
// journal there, of three short lines per move.
func floor(arguments []string) error {
	list, err := os.ReadFile(arguments[0])
	if err != nil {
		return err
	}
	a, err := bareAPI(os.Getenv, 16)
	if err != nil {
		return err
	}
	ids, err := a.workspaceIDs(context.Background())
	if err != nil {
		return err
	}
	announce := func() error { return nil }
	if len(arguments) > 1 {
		journal, _, err := migrate.OpenJournal(context.Background(), arguments[1])
		if err != nil {
			return err
		}
		defer func() { _ = journal.Close() }() // sync every line to disk
		announce = func() error { return journal.Append(migrate.Event{Event: migrate.EventIntent}) }
	}
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(8)
	for line := range strings.Lines(string(list)) {
		file, workspace, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		group.Go(func() error { return a.bareMove(ctx, file, ids[workspace], announce) })
	}
	return group.Wait()
}

// workspaceIDs lists the organization's workspaces.
func (a *api) workspaceIDs(ctx context.Context) (map[string]string, error) {
	ids := map[string]string{}
	for page := 1; page != 0; {
		var list struct {
			Data []struct {
				ID         string
				Attributes struct{ Name string }
			}
			Meta struct {
				Pagination struct {
					Next int `json:"next-page"`
				}
			}
		}
		path := fmt.Sprintf("organizations/%s/workspaces?page%%5Bsize%%5D=100&page%%5Bnumber%%5D=%d", organization, page)
		if err := a.small(ctx, http.MethodGet, path, "", &list); err != nil {
			return nil, err
		}
		for _, ws := range list.Data {
			ids[ws.Attributes.Name] = ws.ID
		}
		page = list.Meta.Pagination.Next
	}
	return ids, nil
}

// bareMove reads a file, locks, creates, reads current, downloads and unlocks. It journals
// each write before sending it.
func (a *api) bareMove(ctx context.Context, file, id string, announce func() error) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	h, err := quickHeader(raw)
	if err != nil {
		return err
	}
	if err := announce(); err != nil {
		return err
	}
	if err := a.lock(ctx, id); err != nil {
		return err
	}
	if err := announce(); err != nil {
		return err
	}
	doc := stateVersion(h, raw)
	if err := a.ask(ctx, http.MethodPost, "workspaces/"+id+"/state-versions", bytes.NewReader(doc), int64(len(doc)), nil); err != nil {
		return err
	}
	var current signed
	if err := a.small(ctx, http.MethodGet, "workspaces/"+id+"/current-state-version", "", &current); err != nil {
		return err
	}
	if err := a.download(ctx, current); err != nil {
		return err
	}
	if err := announce(); err != nil {
		return err
	}
	return a.unlock(ctx, id)
}

// quickHeader reads only the first lines of a state, where Terraform puts serial and
// lineage, and computes its MD5, which the server requires.
func quickHeader(raw []byte) (header, error) {
	var h header
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	key := ""
	for h.Lineage == "" {
		token, err := decoder.Token()
		if err != nil {
			return h, err
		}
		switch value := token.(type) {
		case json.Number:
			if key == "serial" {
				if h.Serial, err = value.Int64(); err != nil {
					return h, err
				}
			}
			key = ""
		case string:
			if key == "lineage" {
				h.Lineage = value
			}
			key = value
		}
	}
	sum := md5.Sum(raw)
	h.md5 = hex.EncodeToString(sum[:])
	return h, nil
}
