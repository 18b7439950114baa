package tfe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"tfhaul/backend"
)

// Attributes are announced with a state. The server checks these rather than the file, so
// they must come from the very bytes that are sent.
type Attributes struct {
	// Serial of the state.
	Serial int64
	// Lineage of the state; omitted if empty, as in early Terraform.
	Lineage string
	// MD5 of the state's bytes in lower-case hex.
	MD5 string
	// Force makes the server skip its checks of lineage and serial.
	Force bool
	// Run associates the state version with the run that holds the lock; "" means none.
	Run string
}

// document returns the JSON:API document with the attributes.
func (a Attributes) document() ([]byte, error) {
	var doc announcement
	doc.Data.Type = "state-versions"
	at := &doc.Data.Attributes
	at.Force, at.Lineage, at.MD5, at.Serial = a.Force, a.Lineage, a.MD5, a.Serial
	if a.Run != "" {
		doc.Data.Relationships = &runRelation{}
		doc.Data.Relationships.Run.Data = resourceID{Type: "runs", ID: a.Run}
	}
	return json.Marshal(&doc)
}

// An announcement is the document of a new state version.
type announcement struct {
	Data struct {
		Attributes struct {
			Force   bool   `json:"force,omitempty"`
			Lineage string `json:"lineage,omitempty"`
			MD5     string `json:"md5"`
			Serial  int64  `json:"serial"`
		} `json:"attributes"`
		Relationships *runRelation `json:"relationships,omitempty"`
		Type          string       `json:"type"`
	} `json:"data"`
}

type runRelation struct {
	Run struct {
		Data resourceID `json:"data"`
	} `json:"run"`
}

// stateGoesHere is where the state is inserted into the document; other attributes, at
// least the serial, always follow.
const stateGoesHere = `"attributes":{`

// CreateInline creates a state version with the state inside the POST. The state is
// streamed, so memory does not depend on its size.
func (c *Client) CreateInline(ctx context.Context, ws *Workspace, a Attributes, body Body) (*StateVersion, error) {
	document, err := a.document()
	if err != nil {
		return nil, err
	}
	head, tail, _ := strings.Cut(string(document), stateGoesHere)
	doc := inline{head: head + stateGoesHere + `"state":"`, tail: `",` + tail, body: body}
	return c.create(ctx, ws, &outgoing{doc.size(), doc.reader})
}

// Announce creates a state version without its state, which Upload then sends to its signed
// URL. Old servers return NoSignedUpload.
func (c *Client) Announce(ctx context.Context, ws *Workspace, a Attributes) (*StateVersion, error) {
	document, err := a.document()
	if err != nil {
		return nil, err
	}
	sv, err := c.create(ctx, ws, written(document))
	if err != nil || sv.upload != "" {
		return sv, err
	}
	if !sv.Pending && (sv.Status != "" || sv.download != "") {
		// The server already has these bytes with this serial.
		return sv, nil
	}
	return nil, &Error{
		Op: "announce a state version to " + ws.String(), Code: NoSignedUpload, Status: http.StatusCreated,
		Err: errors.New("the server sent no URL for uploading the state"),
	}
}

// create sends a document to the workspace's state versions.
func (c *Client) create(ctx context.Context, ws *Workspace, doc *outgoing) (*StateVersion, error) {
	return send(ctx, c, "create a state version in "+ws.String(), http.MethodPost, ws.path("/state-versions"), doc, stateVersionOf(ws.ID, ""))
}

// Upload sends an announced state version's bytes to its signed URL. The URL is secret and
// valid once, so the token is not sent.
func (c *Client) Upload(ctx context.Context, sv *StateVersion, body Body) error {
	return c.upload(ctx, "upload state version "+sv.ID, sv.upload, body)
}

// upload sends bytes to a signed URL.
func (c *Client) upload(ctx context.Context, op, to string, body Body) error {
	resp, x, err := c.blob(ctx, op, to, &body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// The response is complete, and its content is not needed.
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody)); err != nil {
		return x.failure(op, err)
	}
	return nil
}

// Open starts downloading a state version's bytes, exactly as they were uploaded. A
// download that is cut short or altered on the way ends in an *Error.
func (c *Client) Open(ctx context.Context, sv *StateVersion) (io.ReadCloser, error) {
	op := "download state version " + sv.ID
	if sv.download == "" {
		// Null for a moment after creation, on some servers.
		return nil, &Error{Op: op, Code: backend.NoBytesYet, Err: errors.New("the server has no download URL yet")}
	}
	return c.download(ctx, op, sv.download, sv.Size)
}

// download starts downloading bytes of a known size, or of any if that is 0.
func (c *Client) download(ctx context.Context, op, from string, size int64) (io.ReadCloser, error) {
	resp, x, err := c.blob(ctx, op, from, nil)
	if err != nil {
		return nil, err
	}
	e := &Error{Op: op, Code: Rejected, Status: resp.StatusCode}
	if encoding := resp.Header.Get("Content-Encoding"); resp.StatusCode == http.StatusOK {
		if encoding == "" || strings.EqualFold(encoding, "identity") {
			return &download{ReadCloser: resp.Body, op: op, x: x, announced: size}, nil
		}
		e.Err = fmt.Errorf("the bytes are encoded as %q, not as they were uploaded", withoutSecretText(encoding, c.token))
	}
	discard(resp)
	return nil, e
}

// A download reads the bytes of a state version. It fails if their number is not what the
// server announced: anything short, empty or too long is not the state.
type download struct {
	io.ReadCloser
	op        string
	x         *exchange
	announced int64 // in bytes; 0 if the server does not report it
	got       int64
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	d.got += int64(n)
	switch {
	case err != nil && err != io.EOF:
		return n, d.x.failure(d.op, err)
	case d.announced > 0 && d.got > d.announced:
		return 0, d.otherSize("more than")
	case d.announced > 0 && err == io.EOF && d.got < d.announced:
		return n, d.otherSize(fmt.Sprintf("%d of", d.got))
	}
	return n, err
}

// otherSize returns the error for a download of the wrong length. It is Ambiguous because
// another attempt may get all of it.
func (d *download) otherSize(which string) error {
	return &Error{Op: d.op, Code: backend.Ambiguous, Status: d.x.status,
		Err: fmt.Errorf("the server sent %s the %d bytes that it announced for this state version", which, d.announced)}
}
