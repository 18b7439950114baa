package migrate_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// An s3Server keeps the buckets and the lock tables of a sweep. A table has the name of its
// bucket. It has what tfhaul and Terraform's s3 backend use of S3 and DynamoDB: conditional
// writes, versions, and conditional items.
type s3Server struct {
	*httptest.Server
	mu      sync.Mutex
	buckets map[string]*s3Bucket
	end     chan struct{} // closed at the end of the test
}

// An s3Bucket is a bucket and a table, with the faults of one case.
type s3Bucket struct {
	server    *s3Server
	name      string
	versioned bool
	faults    *faults

	mu      sync.Mutex
	objects map[string][]s3Object // versions, oldest first
	items   map[string]map[string]map[string]string
	written int
}

type s3Object struct {
	version, etag string
	text          []byte
	removed       bool
	at            time.Time
}

func startS3(t *testing.T) *s3Server {
	s := &s3Server{buckets: map[string]*s3Bucket{}, end: make(chan struct{})}
	s.Server = httptest.NewUnstartedServer(s)
	// Every move of a sweep has connections of its own, which would stay open for long.
	s.Config.IdleTimeout = 5 * time.Second
	s.Start()
	t.Cleanup(func() {
		close(s.end)
		s.Close()
	})
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAOFTHESWEEP000000", "AWS_SECRET_ACCESS_KEY": "of the sweep", "AWS_REGION": "us-east-1",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ENDPOINT_URL_DYNAMODB": s.URL, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	return s
}

// bucket creates a bucket and its table.
func (s *s3Server) bucket(versioned bool, f *faults) *s3Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s3Bucket{server: s, name: fmt.Sprintf("bucket-%d", len(s.buckets)), versioned: versioned, faults: f,
		objects: map[string][]s3Object{}, items: map[string]map[string]map[string]string{}}
	s.buckets[b.name] = b
	return b
}

// ServeHTTP answers a request, with the fault of its case.
func (s *s3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has given up
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	action := r.Header.Get("X-Amz-Target")
	var ask tableRequest
	if action != "" {
		_ = json.Unmarshal(body, &ask)
		name = ask.TableName
	}
	s.mu.Lock()
	b := s.buckets[name]
	s.mu.Unlock()
	if b == nil {
		http.NotFound(w, r)
		return
	}
	op := r.Method
	if action != "" {
		_, op, _ = strings.Cut(action, ".")
	} else if strings.HasSuffix(key, ".tflock") {
		op += " lock"
	}
	answer := func() *httptest.ResponseRecorder {
		out := httptest.NewRecorder()
		if action != "" {
			b.table(out, op, &ask)
		} else {
			b.serve(out, r, key, body)
		}
		return out
	}
	b.spoil(w, op, op+" "+r.URL.String()+" "+ask.Key["LockID"]["S"], answer)
}

// spoil answers with the fault of the case. what names the request.
func (b *s3Bucket) spoil(w http.ResponseWriter, op, what string, answer func() *httptest.ResponseRecorder) {
	b.faults.spoilAnswer(w, op, &spoiled{
		answer: func() *httptest.ResponseRecorder {
			out := answer()
			b.faults.remember(what, out)
			return out
		},
		attack: func() *httptest.ResponseRecorder { return b.attack(op, what, answer) },
		refuse: func(fault string) *httptest.ResponseRecorder {
			switch fault {
			case "slow down":
				return xmlError(503, "SlowDown")
			case "denied":
				return xmlError(403, "AccessDenied")
			}
			return xmlError(500, "InternalError")
		},
		end: b.server.end,
	})
}

// spoiled is how a server answers a request.
type spoiled struct {
	answer, attack func() *httptest.ResponseRecorder
	refuse         func(fault string) *httptest.ResponseRecorder
	end            chan struct{} // closed at the end of the test
}

// spoilAnswer answers a request with the fault of the case.
func (f *faults) spoilAnswer(w http.ResponseWriter, op string, by *spoiled) {
	f.mu.Lock()
	f.n++
	hit := f.n == f.at
	dead := f.dead
	if hit {
		f.op = op
		f.dead = strings.HasPrefix(f.fault, "killed")
	}
	f.mu.Unlock()
	switch {
	case dead:
		<-by.end
		return
	case !hit:
		give(w, by.answer())
		return
	}
	if slices.Contains(s3Attacks, f.fault) {
		give(w, by.attack())
		return
	}
	switch f.fault {
	case "refused":
		hangUp(w)
	case "lost":
		by.answer()
		hangUp(w)
	case "slow down", "broken", "denied":
		give(w, by.refuse(f.fault))
	case "cut":
		out := by.answer()
		w.Header().Set("Content-Length", strconv.Itoa(out.Body.Len()+1))
		give(w, out)
		hangUp(w)
	case "rival":
		f.rival = state(30, lineage, 7)
		f.bench.put(f.rival)
		give(w, by.answer())
	case "interrupted":
		f.interrupt()
		give(w, by.answer())
	case "killed before":
		f.died()
		<-by.end
	case "killed after":
		by.answer()
		f.died()
		<-by.end
	}
}

var s3Faults = []string{"refused", "lost", "slow down", "broken", "denied", "cut", "rival", "interrupted", "killed before", "killed after"}

func give(w http.ResponseWriter, out *httptest.ResponseRecorder) {
	for name, values := range out.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(out.Code)
	_, _ = w.Write(out.Body.Bytes())
}

func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func xmlError(status int, code string) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	out.Header().Set("Content-Type", "application/xml")
	out.WriteHeader(status)
	fmt.Fprintf(out, "<Error><Code>%s</Code><Message>refused by the test</Message></Error>", code)
	return out
}

// latest returns the newest version of an object, or nil.
func (b *s3Bucket) latest(key string) *s3Object {
	if n := len(b.objects[key]); n > 0 {
		return &b.objects[key][n-1]
	}
	return nil
}

// store stores a version, or a delete marker.
func (b *s3Bucket) store(key string, text []byte) *s3Object {
	b.written++
	sum := md5.Sum(text)
	o := s3Object{etag: `"` + hex.EncodeToString(sum[:]) + `"`, text: bytes.Clone(text), removed: text == nil, at: time.Now()}
	if !b.versioned {
		b.objects[key] = nil
	} else {
		o.version = fmt.Sprintf("v%06d", b.written)
	}
	if o.removed && !b.versioned {
		delete(b.objects, key)
		return &o
	}
	b.objects[key] = append(b.objects[key], o)
	return &o
}

// put stores a version as another program does.
func (b *s3Bucket) put(key string, text []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.store(key, text)
}

// find returns the version that a request names; nil if there is none.
func (b *s3Bucket) find(key, version string) *s3Object {
	if version == "" {
		if o := b.latest(key); o != nil && !o.removed {
			return o
		}
		return nil
	}
	for i, o := range b.objects[key] {
		if o.version == version && !o.removed {
			return &b.objects[key][i]
		}
	}
	return nil
}

// serve answers a request to S3.
func (b *s3Bucket) serve(w *httptest.ResponseRecorder, r *http.Request, key string, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := r.URL.Query()
	w.Header().Set("X-Amz-Bucket-Region", "us-east-1")
	refuse := func(status int, code string) {
		out := xmlError(status, code)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = w.Write(out.Body.Bytes())
	}
	switch {
	case q.Has("versioning"):
		status := ""
		if b.versioned {
			status = "<Status>Enabled</Status>"
		}
		fmt.Fprintf(w, "<VersioningConfiguration>%s</VersioningConfiguration>", status)
		return
	case q.Has("versions"):
		b.listVersions(w, q.Get("prefix"))
		return
	case key == "":
		refuse(501, "NotImplemented")
		return
	}
	o := b.find(key, q.Get("versionId"))
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	if o == nil && (r.Method == http.MethodGet || r.Method == http.MethodHead || match != "") {
		if newest := b.latest(key); newest != nil && newest.removed {
			w.Header().Set("X-Amz-Delete-Marker", "true")
		}
		refuse(404, "NoSuchKey")
		return
	}
	if match != "" && match != o.etag || none == "*" && o != nil {
		refuse(412, "PreconditionFailed")
		return
	}
	switch r.Method {
	case http.MethodPut:
		o = b.store(key, body)
	case http.MethodDelete:
		b.store(key, nil)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("ETag", o.etag)
	if o.version != "" {
		w.Header().Set("X-Amz-Version-Id", o.version)
	}
	if r.Method == http.MethodPut {
		return
	}
	w.Header().Set("Last-Modified", o.at.UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.Itoa(len(o.text)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(o.text)
	}
}

// listVersions lists the versions below a prefix, newest first.
func (b *s3Bucket) listVersions(w io.Writer, prefix string) {
	fmt.Fprint(w, "<ListVersionsResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>")
	for key, versions := range b.objects {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		for i := len(versions) - 1; i >= 0; i-- {
			o := versions[i]
			kind := "Version"
			if o.removed {
				kind = "DeleteMarker"
			}
			fmt.Fprintf(w, "<%[1]s><Key>%[2]s</Key><VersionId>%[3]s</VersionId><ETag>", kind, url.QueryEscape(key), o.version)
			_ = xml.EscapeText(w, []byte(o.etag))
			fmt.Fprintf(w, "</ETag><Size>%d</Size><LastModified>%s</LastModified></%s>", len(o.text), o.at.UTC().Format("2006-01-02T15:04:05.000Z"), kind)
		}
	}
	fmt.Fprint(w, "</ListVersionsResult>")
}

// A tableRequest is what is read of a request to DynamoDB.
type tableRequest struct {
	TableName                 string
	Key, Item                 map[string]map[string]string
	ConditionExpression       string
	ExpressionAttributeValues map[string]map[string]string
}

// table answers a request to DynamoDB.
func (b *s3Bucket) table(w *httptest.ResponseRecorder, op string, ask *tableRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	id := ask.Item["LockID"]["S"]
	if op != "PutItem" {
		id = ask.Key["LockID"]["S"]
	}
	item := b.items[id]
	info, asked := ask.ExpressionAttributeValues[":info"]
	switch {
	case strings.HasPrefix(ask.ConditionExpression, "attribute_not_exists") && item != nil,
		asked && (item == nil || item["Info"]["S"] != info["S"]):
		w.WriteHeader(400)
		fmt.Fprint(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}`)
		return
	}
	answer := map[string]any{}
	switch op {
	case "PutItem":
		b.items[id] = ask.Item
	case "DeleteItem":
		delete(b.items, id)
	case "GetItem":
		if item != nil {
			answer["Item"] = item
		}
	}
	_ = json.NewEncoder(w).Encode(answer) // to memory
}

// digest returns the digest in the table; "" without one.
func (b *s3Bucket) digest(key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.items[b.name+"/"+key+"-md5"]["Digest"]["S"]
}
