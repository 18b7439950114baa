package s3

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tfhaul/backend"
)

// withProfiles makes text the shared AWS configuration of an empty home directory.
func withProfiles(t *testing.T, text string) (home string) {
	t.Helper()
	awsEnvironment(t)
	home = t.TempDir()
	file := filepath.Join(home, "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": file, "HOME": home, "USERPROFILE": home,
		"AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	return home
}

// openErr returns the error of reading an object with this profile.
func openErr(t *testing.T, parameters string) error {
	t.Helper()
	listing, err := findWith(t, backend.Connection{}, "s3://acme/a.tfstate?path-style=true&endpoint=http://127.0.0.1:1"+parameters, backend.Filter{})
	if err == nil {
		_, _, err = listing.States[0].Open(t.Context(), nil)
	}
	if err == nil {
		t.Fatal("the read succeeded")
	}
	return err
}

const profiles = `
[profile dev]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Reader
region = eu-west-1
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.awsapps.com/start
[profile legacy]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = Reader
[profile deploy]
role_arn = arn:aws:iam::111122223333:role/deploy
source_profile = dev
[profile fails]
credential_process = exit 3
[profile chatty]
credential_process = echo hunter2-secret
[profile empty]
credential_process = echo '{"Version":1}'
[profile keys]
aws_access_key_id = AKIAFAKE
aws_secret_access_key = hunter2-secret
[profile mfa]
role_arn = arn:aws:iam::111122223333:role/admin
source_profile = keys
mfa_serial = arn:aws:iam::111122223333:mfa/ann
[profile role]
role_arn = arn:aws:iam::111122223333:role/reader
source_profile = keys
[profile endpoint]
aws_access_key_id = AKIAFAKE
aws_secret_access_key = x
endpoint_url = https://ann:hunter2-secret@minio.example.com
[profile services]
aws_access_key_id = AKIAFAKE
aws_secret_access_key = x
services = minio
[services minio]
s3 =
  endpoint_url = https://minio.example.com/?sig=hunter2-secret
`

func TestMissingCredentialsAreExplained(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the credential processes need sh")
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	for name, tt := range map[string]struct {
		profile, environment string
		want                 []string
	}{
		"an sso_session without a login":           {"dev", "", []string{"the SSO session has expired or was never opened: log in with: aws sso login --profile dev"}},
		"an sso_session of AWS_PROFILE":            {"", "dev", []string{"log in with: aws sso login --profile dev"}},
		"an expired sso_session":                   {"dev", "expired", []string{"log in with: aws sso login --profile dev"}},
		"SSO without an sso_session":               {"legacy", "", []string{"log in with: aws sso login --profile legacy"}},
		"a role from an sso_session":               {"deploy", "", []string{"log in with: aws sso login --profile dev"}},
		"a credential_process that fails":          {"fails", "", []string{`the credential_process of the profile "fails" failed: it exited with status 3`}},
		"a credential_process that prints text":    {"chatty", "", []string{`the credential_process of the profile "chatty" failed: its output is not JSON`}},
		"a credential_process that prints no keys": {"empty", "", []string{`failed: its JSON has no AccessKeyId`}},
		"a role that requires MFA": {"mfa", "", []string{`the profile "mfa" assumes a role that requires an MFA code`,
			`eval "$(aws configure export-credentials --profile mfa --format env)"`, "leave out ?profile="}},
		"a role of AWS_PROFILE that requires MFA": {"", "mfa", []string{`eval "$(aws configure export-credentials --profile mfa --format env)"`}},
		"a role whose server is down":             {"role", "", []string{"the credential server cannot be reached: connection refused at 127.0.0.1:"}},
		"an endpoint_url with credentials":        {"endpoint", "", []string{`an endpoint_url of the profile "endpoint" in the shared AWS files must be https://HOST[:PORT]`}},
		"an endpoint_url for one service":         {"services", "", []string{`an endpoint_url of the profile "services"`}},
	} {
		t.Run(name, func(t *testing.T) {
			home := withProfiles(t, profiles)
			t.Setenv("AWS_ENDPOINT_URL_STS", "http://"+nobody.Addr().String())
			parameters := ""
			if tt.profile != "" {
				parameters = "&profile=" + tt.profile
			}
			switch tt.environment {
			case "expired":
				rememberLogin(t, home)
			default:
				t.Setenv("AWS_PROFILE", tt.environment)
			}
			err := openErr(t, parameters)
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v\nwant  %s", err, want)
				}
			}
			for _, secret := range []string{"hunter2", "AssumeRoleTokenProvider", "operation error"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error contains %q: %v", secret, err)
				}
			}
		})
	}
}

// rememberLogin writes the cache file of an old login to the session "corp".
func rememberLogin(t *testing.T, home string) {
	t.Helper()
	sum := sha1.Sum([]byte("corp"))
	dir := filepath.Join(home, ".aws", "sso", "cache")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	login := `{"accessToken":"hunter2","expiresAt":"2020-01-01T00:00:00Z"}`
	if err := os.WriteFile(filepath.Join(dir, hex.EncodeToString(sum[:])+".json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAWrongCustomerKeyIsNotAMissingPermission(t *testing.T) {
	const encoded = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	needsKey := func(w http.ResponseWriter) {
		refuse(w, 400, "InvalidRequest", "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.")
	}
	for name, tt := range map[string]struct {
		with, without func(http.ResponseWriter)
		want          string
		code          backend.Code
	}{
		"refused as access denied": {func(w http.ResponseWriter) { refuse(w, 403, "AccessDenied", "Access Denied") }, needsKey,
			"the key in AWS_SSE_CUSTOMER_KEY is not the one that encrypted it", backend.KeyDenied},
		"refused as a bad request": {func(w http.ResponseWriter) {
			refuse(w, 400, "InvalidArgument", "The calculated MD5 hash of the customer provided key did not match.")
		}, needsKey, "the key in AWS_SSE_CUSTOMER_KEY is not the one that encrypted it", backend.KeyDenied},
		"refused either way": {func(w http.ResponseWriter) { refuse(w, 403, "AccessDenied", "Access Denied") },
			func(w http.ResponseWriter) { refuse(w, 403, "AccessDenied", "Access Denied") },
			"the credentials need s3:GetObject for it (or it does not exist, which S3 reveals only with s3:ListBucket, or the key in AWS_SSE_CUSTOMER_KEY is not the one", backend.AccessDenied},
	} {
		t.Run(name, func(t *testing.T) {
			awsEnvironment(t)
			t.Setenv(customerKeyVariable, encoded)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Amz-Server-Side-Encryption-Customer-Key") != "" {
					tt.with(w)
				} else {
					tt.without(w)
				}
			}))
			defer server.Close()
			o := objectAt(t, server, "a.tfstate")
			_, _, opened := o.Open(t.Context(), nil)
			for _, err := range []error{opened, o.Check(t.Context(), pin{}.asVersion())} {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !hasCode(err, tt.code) {
					t.Errorf("error %v\nwant  %s (%s)", err, tt.want, tt.code)
				}
				if err != nil && strings.Contains(err.Error(), encoded) {
					t.Error("the error reveals the key")
				}
			}
		})
	}
}

func TestServerOtherThanS3IsRecognized(t *testing.T) {
	for name, page := range map[string]http.HandlerFunc{
		"an HTML page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "<html><body><h1>Not Found</h1></body></html>")
		},
		"plain text": http.NotFound,
		"another API": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errors":[{"status":"404"}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := atServer(t, "a.tfstate", page)
			_, _, err := o.Open(t.Context(), nil)
			_, locked := o.Holder(t.Context())
			for _, err := range []error{err, locked} {
				if err == nil || !strings.Contains(err.Error(), "is it an S3 server?") || hasCode(err, backend.NoState) {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}
