package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

// An api is a minimal client of a server: net/http and the necessary parts of JSON:API.
type api struct {
	client *http.Client
	base   string
	token  string
}

// bareAPI returns a client with the variables that an env file exports.
func bareAPI(getenv func(string) string, connections int) (*api, error) {
	pem, err := os.ReadFile(getenv("TFHAUL_CA_FILE"))
	if err != nil {
		return nil, err
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	return &api{base: getenv("TFE_ADDRESS") + "/api/v2/", token: getenv("TFE_TOKEN"), client: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: authorities}, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: connections, DisableCompression: true,
	}}}, nil
}

// ask sends a request and decodes the response into a value; nil discards it.
func (a *api) ask(ctx context.Context, method, path string, body io.Reader, size int64, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Content-Type", "application/vnd.api+json")
	return a.send(req, into)
}

func (a *api) send(req *http.Request, into any) error {
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", req.Method, req.URL.Path, resp.Status)
	}
	if into != nil {
		return json.NewDecoder(resp.Body).Decode(into)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// small sends a request with a body of a few bytes.
func (a *api) small(ctx context.Context, method, path, body string, into any) error {
	return a.ask(ctx, method, path, bytes.NewReader([]byte(body)), int64(len(body)), into)
}

// signed holds the signed URLs in a state version's document.
type signed struct {
	Data struct {
		ID         string
		Attributes struct {
			Download string `json:"hosted-state-download-url"`
			Upload   string `json:"hosted-state-upload-url"`
		}
	}
}

// identified is the part of a document with the resource's ID.
type identified struct {
	Data struct{ ID string }
}

// workspaceID returns the ID of a workspace.
func (a *api) workspaceID(ctx context.Context, name string) (string, error) {
	var doc identified
	err := a.small(ctx, http.MethodGet, "organizations/"+organization+"/workspaces/"+name, "", &doc)
	return doc.Data.ID, err
}

// stateVersion returns the document that creates a state version, with or without the
// state.
func stateVersion(h header, raw []byte) []byte {
	doc := fmt.Appendf(nil, `{"data":{"type":"state-versions","attributes":{"serial":%d,"lineage":%q,"md5":%q`, h.Serial, h.Lineage, h.md5)
	if raw != nil {
		doc = append(doc, `,"state":"`...)
		doc = base64.StdEncoding.AppendEncode(doc, raw)
		doc = append(doc, '"')
	}
	return append(doc, `}}}`...)
}

// byTFM sends the requests of tfm's "copy states" at the source and the destination for one
// workspace: it reads the workspace, lists the state versions at the source and at the
// destination, reads one, locks, creates, reads it again, and unlocks. Here source and
// destination are one server.
func (a *api) byTFM(ctx context.Context, from, to string, raw []byte) error {
	id, err := a.workspaceID(ctx, to)
	if err != nil {
		return err
	}
	var list struct{ Data []struct{ ID string } }
	versions := "state-versions?filter%5Borganization%5D%5Bname%5D=" + organization + "&filter%5Bworkspace%5D%5Bname%5D="
	for _, name := range []string{to, from} {
		if err := a.small(ctx, http.MethodGet, versions+name, "", &list); err != nil {
			return err
		}
	}
	var sv signed
	if err := a.small(ctx, http.MethodGet, "state-versions/"+list.Data[0].ID, "", &sv); err != nil {
		return err
	}
	if err := a.download(ctx, sv); err != nil {
		return err
	}
	if err := a.lock(ctx, id); err != nil {
		return err
	}
	var made identified
	if err := a.create(ctx, id, raw, true, &made); err != nil {
		return err
	}
	if err := a.small(ctx, http.MethodGet, "state-versions/"+made.Data.ID, "", nil); err != nil {
		return err
	}
	return a.unlock(ctx, id)
}

// byProvider sends the requests of tf-migrate's provider for one workspace, apart from
// those of terraform init and terraform state pull: it reads the workspace, locks,
// announces the state version, uploads its bytes, reads it, and unlocks.
func (a *api) byProvider(ctx context.Context, to string, raw []byte) error {
	id, err := a.workspaceID(ctx, to)
	if err != nil {
		return err
	}
	if err := a.lock(ctx, id); err != nil {
		return err
	}
	var made signed
	if err := a.create(ctx, id, raw, false, &made); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, made.Data.Attributes.Upload, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	if err := a.send(req, nil); err != nil {
		return err
	}
	if err := a.small(ctx, http.MethodGet, "state-versions/"+made.Data.ID, "", nil); err != nil {
		return err
	}
	return a.unlock(ctx, id)
}

func (a *api) lock(ctx context.Context, id string) error {
	return a.small(ctx, http.MethodPost, "workspaces/"+id+"/actions/lock", `{"reason":"migration"}`, nil)
}

func (a *api) unlock(ctx context.Context, id string) error {
	return a.small(ctx, http.MethodPost, "workspaces/"+id+"/actions/unlock", "", nil)
}

// create creates a state version, inside the POST or announced.
func (a *api) create(ctx context.Context, id string, raw []byte, inline bool, into any) error {
	h, err := headerOf(raw)
	if err != nil {
		return err
	}
	var doc []byte
	if inline {
		doc = stateVersion(h, raw)
	} else {
		doc = stateVersion(h, nil)
	}
	return a.ask(ctx, http.MethodPost, "workspaces/"+id+"/state-versions", bytes.NewReader(doc), int64(len(doc)), into)
}

// download reads a state version's bytes and discards them.
func (a *api) download(ctx context.Context, sv signed) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, sv.Data.Attributes.Download, nil)
	if err != nil {
		return err
	}
	return a.send(req, nil)
}
