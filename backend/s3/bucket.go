package s3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"tfhaul/backend"
)

// Kind returns the kind of backend that keeps states in S3. The environment and the shared
// AWS files are read once for each profile, region, endpoint and bucket.
func Kind(c backend.Connection) backend.Kind {
	c = c.WithDefaults()
	sources := &connections{connection: c}
	targets := &connections{connection: c, target: true}
	return backend.Kind{
		Name: "S3", Scheme: "s3", Environment: "AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID, …", Example: "s3://BUCKET/KEY", Traits: traits, Open: sources.open, Canonical: canonical, Target: targets.role(),
		Backends: []string{"s3"}, Configured: configured,
	}
}

var traits = backend.Traits{Noun: "object", Versions: true, Pins: backend.PinsAnyVersion, Locks: backend.LocksDurable, Writes: backend.WritesCondition}

// connections caches what is needed to reach buckets: resolved credentials, regions and
// open connections. It is safe for concurrent use.
type connections struct {
	connection backend.Connection
	target     bool // for the role of a target

	mu      sync.Mutex
	buckets map[string]*bucket
}

// open returns the bucket, prefix or object that an s3:// URL names, without checking that
// an object exists.
func (c *connections) open(ctx context.Context, address string) (backend.Backend, error) {
	u, err := parseLocation(address)
	if err != nil {
		return nil, err
	}
	b, err := c.bucket(ctx, u)
	if err != nil {
		return nil, err
	}
	return &prefix{b, u}, nil
}

// bucket returns the connection for u, creating it on the first call.
func (c *connections) bucket(ctx context.Context, u *location) (*bucket, error) {
	shared := location{bucket: u.bucket, params: maps.Clone(u.params)}
	shared.params.Del(paramVersion)
	shared.params.Del(paramPrefix)
	id := shared.name("")
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok := c.buckets[id]; ok {
		return b, nil
	}
	b, err := c.openBucket(ctx, u)
	if err != nil {
		return nil, err
	}
	if c.buckets == nil {
		c.buckets = map[string]*bucket{}
	}
	c.buckets[id] = b
	return b, nil
}

// bucket is a connection to one bucket, with credentials and region.
type bucket struct {
	name        string
	client      *awss3.Client
	credentials aws.CredentialsProvider
	profile     string // as typed, for messages
	login       string // the profile for "aws sso login"; "" without SSO
	endpoint    string // as typed, for the commands we print
	sse         *customerKey
	encryption  types.ServerSideEncryption // for writing; "" for the bucket's
	kmsKey      string                     // for encryption; "" for the bucket's
	timeout     time.Duration
	table       *lockTable // nil without ?lock-table=
	noLockFile  bool       // the lock is only in the table
	wire        *wire      // nil for a source

	mu     sync.Mutex
	region string
	known  bool // the region was configured, or the server accepts it
}

// connectionsPerHost is how many idle connections are kept: more than any useful
// --parallelism.
const connectionsPerHost = 128

// openBucket reads the environment and the shared AWS files as the SDK does
// (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html). It sends
// no requests.
func (c *connections) openBucket(ctx context.Context, u *location) (*bucket, error) {
	if err := checkEndpointVariables(os.Environ()); err != nil {
		return nil, err
	}
	profile := u.params.Get(paramProfile)
	options := []func(*config.LoadOptions) error{
		// The SDK's log lines would mix with ours and may repeat a request.
		config.WithLogger(logging.Nop{}),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = 0 // limited only by the next field
			t.MaxIdleConnsPerHost = connectionsPerHost
			t.ResponseHeaderTimeout = c.connection.Timeout
			t.TLSHandshakeTimeout = min(t.TLSHandshakeTimeout, c.connection.Timeout)
			if c.connection.TLS != nil { // AWS_CA_BUNDLE is added to a copy
				t.TLSClientConfig = c.connection.TLS.Clone()
				t.TLSClientConfig.RootCAs = c.connection.TLS.RootCAs.Clone()
			}
		})),
	}
	if profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	if region := u.params.Get(paramRegion); region != "" {
		options = append(options, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, explainConfig(ctx, u, err)
	}
	shared := sharedConfig(cfg)
	if err := checkProfileEndpoints(shared); err != nil {
		return nil, err
	}
	sse, err := customerKeyFromEnvironment()
	if err != nil {
		return nil, err
	}
	known := cfg.Region != ""
	if !known {
		// Start in any region: if the bucket is elsewhere, the response says where.
		cfg.Region = "us-east-1"
	}
	guarded, err := guard(cfg.HTTPClient)
	if err != nil {
		return nil, fmt.Errorf("cannot use %q: %w", u.name(u.key), err)
	}
	if sse != nil && u.sse != "" {
		return nil, fmt.Errorf("%s and %s=%s request two different encryptions: unset the variable, or leave out the parameter", customerKeyVariable, paramSSE, u.sse)
	}
	b := &bucket{
		name: u.bucket, profile: profile, endpoint: u.params.Get(paramEndpoint),
		credentials: cfg.Credentials, region: cfg.Region, known: known, sse: sse, timeout: c.connection.Timeout,
		login: loginProfile(shared), noLockFile: u.noLockFile,
		encryption: types.ServerSideEncryption(u.sse), kmsKey: u.params.Get(paramKMSKey),
	}
	if c.target {
		b.wire = &wire{}
		guarded.wire = b.wire
	}
	b.client = awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		o.HTTPClient = guarded
		o.UsePathStyle = u.pathStyle
		if b.endpoint != "" {
			o.BaseEndpoint = aws.String(b.endpoint)
		}
		// Requests with a body carry a Content-MD5 and a signed SHA-256, which every server
		// understands. Some do not understand trailing checksums.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	if table := u.params.Get(paramLockTable); table != "" {
		client := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.HTTPClient = guarded })
		b.table = &lockTable{name: table, bucket: b, client: client}
	}
	return b, nil
}

// guardedClient is for requests that carry state, locks and keys, and not for fetching
// credentials: instance metadata uses plain http. It sends nothing over plain http,
// wherever the address came from. It follows no redirects, because the headers with a
// customer's key would be sent along; S3 redirects only when the region is wrong.
type guardedClient struct {
	client http.Client
	wire   *wire // nil for a source
}

// guard wraps the SDK's client and keeps its transport, which has the certificates and
// proxies.
func guard(client aws.HTTPClient) (*guardedClient, error) {
	buildable, ok := client.(*awshttp.BuildableClient)
	if !ok {
		return nil, fmt.Errorf("cannot disable redirects in the AWS SDK's HTTP client, of type %T", client)
	}
	return &guardedClient{client: http.Client{
		Transport:     buildable.GetTransport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (g *guardedClient) Do(r *http.Request) (*http.Response, error) {
	if err := refusePlainHTTP(r.URL); err != nil {
		return nil, &clearTextError{err}
	}
	if err := g.wire.inner().Sending(r.Context()); err != nil {
		return nil, err
	}
	resp, err := g.client.Do(r)
	g.wire.inner().Observe(r.Context(), err)
	if err == nil && (resp.StatusCode >= 300 || r.Method != http.MethodGet || r.URL.Query().Has("list-type")) {
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, err
}

// maxAnswer limits how many bytes are read of a response other than an object, which the
// SDK holds in memory. A page of a listing has at most 1,000 keys of 1,024 bytes.
const maxAnswer = 16 << 20

// A boundedBody fails when a response is too long.
type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the response is longer than %d MiB", maxAnswer>>20)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// clearTextError is returned for what guardedClient refuses to send.
type clearTextError struct{ error }

// inRegion returns the option that sends a call to the bucket's known region.
func (b *bucket) inRegion() (region string, option func(*awss3.Options)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	region = b.region
	return region, func(o *awss3.Options) { o.Region = region }
}

// request describes a call, for error messages.
type request struct {
	doing  string // "read", "list", "lock"
	object string // the URL concerned
	action string // the required permission, as in a policy: "s3:GetObject"
}

// ask calls the server, and repeats the call if the bucket is in another region.
func ask[T any](ctx context.Context, b *bucket, r request, do func(...func(*awss3.Options)) (T, error)) (T, error) {
	var none T
	if err := b.authenticate(ctx, r); err != nil {
		return none, err
	}
	for moved := false; ; moved = true {
		region, here := b.inRegion()
		out, err := do(here)
		if err == nil {
			b.settle(region)
			return out, nil
		}
		home := homeRegion(err)
		if moved || home == "" || home == region {
			return none, b.explain(ctx, r, err)
		}
		b.settle(home)
	}
}

// settle records the region that the bucket is in.
func (b *bucket) settle(region string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.region, b.known = region, true
}

// authenticate resolves the credentials, which are cached until they expire. Doing so
// separately distinguishes its failure from the request's.
func (b *bucket) authenticate(ctx context.Context, r request) error {
	if b.credentials == nil {
		return b.noCredentials(r, errors.New("none configured"))
	}
	if _, err := b.credentials.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("cannot %s %q: %w", r.doing, r.object, context.Cause(ctx))
		}
		return b.noCredentials(r, err)
	}
	return nil
}

// expectedRegion matches the region in the message of AuthorizationHeaderMalformed ("the
// region 'us-east-1' is wrong; expecting 'eu-west-1'"). Quotation marks differ between
// servers.
var expectedRegion = regexp.MustCompile(`expecting ["'“]?([A-Za-z0-9-]+)`)

// homeRegion returns the bucket's region according to an error response, or "".
func homeRegion(err error) string {
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		if region := response.Response.Header.Get("X-Amz-Bucket-Region"); isRegion(region) {
			return region
		}
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "AuthorizationHeaderMalformed" && strings.Contains(api.ErrorMessage(), "region") {
		if m := expectedRegion.FindStringSubmatch(api.ErrorMessage()); m != nil && isRegion(m[1]) {
			return m[1]
		}
	}
	return ""
}

// customerKeyVariable is where Terraform's s3 backend reads the SSE-C key
// (https://developer.hashicorp.com/terraform/language/backend/s3#sse_customer_key).
const customerKeyVariable = "AWS_SSE_CUSTOMER_KEY"

// customerKey is a key for server-side encryption with customer-provided keys, as the three
// header values sent with every request.
type customerKey struct{ algorithm, key, md5 *string }

// customerKeyFromEnvironment returns nil if no key is set. Its error does not repeat the
// key.
func customerKeyFromEnvironment() (*customerKey, error) {
	encoded := os.Getenv(customerKeyVariable)
	if encoded == "" {
		return nil, nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s is not 256 bits in base64: set it to the key that Terraform's s3 backend uses", customerKeyVariable)
	}
	sum := md5.Sum(key)
	return &customerKey{
		algorithm: aws.String("AES256"),
		key:       aws.String(encoded),
		md5:       aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	}, nil
}
