package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// hasCode says whether err is an backend.Error with this code.
func hasCode(err error, code backend.Code) bool {
	return backend.CodeOf(err) == code
}

// explain makes the error of a request a sentence.
func (b *bucket) explain(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("cannot %s %q: %w", r.doing, r.object, context.Cause(ctx))
	}
	code, why := b.reasonFor(r, err)
	return &backend.Error{Address: r.object, Code: code, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.object, why), Err: err}
}

// reasonFor is the code of err and the part of the sentence that says why and what to do. What the
// codes of the API mean: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func (b *bucket) reasonFor(r request, err error) (code backend.Code, why string) {
	apiCode, said := apiError(err)
	switch apiCode {
	case "NoSuchBucket":
		return backend.NoContainer, fmt.Sprintf("there is no bucket %q here: look for a typing error, and whether the endpoint and the account are the right ones", b.name)
	case "NoSuchKey", "NotFound":
		return backend.NoState, `there is no such object (a prefix to be searched ends in "/")`
	case "NoSuchVersion":
		return backend.NoState, "there is no such version of it"
	case "AccessDenied", "AllAccessDisabled", "AccessDeniedException", "UnauthorizedAccess":
		return b.accessDenied(r, said)
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired":
		return backend.ExpiredCredentials, "the AWS session has expired: log in again" + b.loginHint()
	case "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidToken":
		return backend.BadCredentials, "the server does not know this access key: check which credentials are in use (AWS_PROFILE, AWS_ACCESS_KEY_ID, ?profile=) and that they belong to this endpoint"
	case "SignatureDoesNotMatch", "InvalidSignatureException", "AuthFailure":
		return backend.BadCredentials, "the server does not accept the signature: the secret key is wrong, or something on the way changes requests"
	case "RequestTimeTooSkewed":
		return backend.BadCredentials, "the server's clock and this machine's are too far apart: set the clock"
	case "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return backend.WrongRegion, fmt.Sprintf("the bucket is not in the region that was asked: say which with ?%s=NAME", paramRegion)
	case "InvalidObjectState":
		return backend.Archived, "it is archived (Glacier): restore it first, for example with: aws s3api restore-object"
	case "SlowDown", "ServiceUnavailable", "ThrottlingException", "ProvisionedThroughputExceededException":
		return backend.Failed, "the server asks to slow down, and still did after several attempts: try again with a lower --parallelism"
	case "ResourceNotFoundException":
		return backend.Failed, "there is no such table in this account and region"
	case "NotImplemented":
		return backend.Failed, "the server does not support this request"
	}
	if strings.HasPrefix(apiCode, "KMS") {
		return backend.KeyDenied, "its KMS key cannot be used" + quotedText(said)
	}
	if apiCode == "InvalidRequest" || apiCode == "InvalidArgument" {
		if strings.Contains(said, "Server Side Encryption") || strings.Contains(said, "customer provided") || strings.Contains(said, "encryption parameters") {
			if b.sse != nil {
				return backend.KeyDenied, wrongCustomerKey + quotedText(said)
			}
			return backend.KeyDenied, fmt.Sprintf("it is encrypted with a customer-provided key (SSE-C): set %s to the one Terraform uses%s", customerKeyVariable, quotedText(said))
		}
	}
	if apiCode != "" && said != "" {
		return backend.Failed, fmt.Sprintf("the server said %s%s", apiCode, quotedText(said))
	}
	return b.withoutText(r, err, apiCode)
}

// accessDenied tells a missing permission from an unusable encryption key, which has the same code.
func (b *bucket) accessDenied(r request, said string) (code backend.Code, why string) {
	switch {
	case strings.Contains(strings.ToLower(said), "kms"):
		return backend.KeyDenied, "its KMS key may not be used: kms:Decrypt is missing (to write a lock also kms:GenerateDataKey)" + quotedText(said)
	case r.action == "s3:GetObject":
		// Without s3:ListBucket, S3 says 403 for what does not exist.
		key := ""
		if b.sse != nil {
			key = fmt.Sprintf(", or the key in %s is not the one it is encrypted with", customerKeyVariable)
		}
		return backend.AccessDenied, fmt.Sprintf("access denied: the credentials need %s for it (or it does not exist: that is told only to those who have s3:ListBucket%s)%s", r.action, key, quotedText(said))
	default:
		return backend.AccessDenied, fmt.Sprintf("access denied: the credentials need %s%s", r.action, quotedText(said))
	}
}

// withoutText explains an error that came without a document, or not from the server at all.
func (b *bucket) withoutText(r request, err error, apiCode string) (code backend.Code, why string) {
	var clear *clearTextError
	if errors.As(err, &clear) {
		return backend.Failed, clear.Error()
	}
	if status := httpStatus(err); status != 0 {
		switch status {
		case http.StatusForbidden:
			return b.accessDenied(r, "")
		case http.StatusNotFound:
			switch stranger, page := isStranger(err); {
			case page:
				return backend.Failed, "the endpoint answered 404, and not as S3 does: is it an S3 server?"
			case stranger:
				return backend.NoState, "there is no such object, and the endpoint does not say so as S3 does: is it an S3 server?"
			}
			return backend.NoState, "there is no such object"
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
			return backend.WrongRegion, fmt.Sprintf("the bucket is elsewhere: say where with ?%s=NAME or ?%s=URL", paramRegion, paramEndpoint)
		default:
			if apiCode == "" {
				apiCode = "no reason that could be read: is the endpoint an S3 server?"
			}
			return backend.Failed, fmt.Sprintf("the server answered %d, %s", status, apiCode)
		}
	}
	why = plainwords.Describe(err)
	var dns *net.DNSError
	if errors.As(err, &dns) && b.endpoint != "" && strings.HasPrefix(dns.Name, b.name+".") {
		why += fmt.Sprintf("; servers that have no host name for each bucket need ?%s=true", paramPathStyle)
	}
	return backend.Unreachable, why
}

// wrongCustomerKey says what S3 calls an access that is denied.
const wrongCustomerKey = "the key in " + customerKeyVariable + " is not the one it is encrypted with (SSE-C): set it to the key that Terraform uses"

// isStranger reports whether the answer that err comes from has nothing of S3's, and whether it
// has a body, which is not S3's. S3 explains itself, unless it was asked for a head, and gives every
// request an id; simple servers may do neither.
func isStranger(err error) (stranger, page bool) {
	var response *awshttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil || response.Response.Request == nil {
		return false, false
	}
	stranger = response.Response.Request.Method != http.MethodHead && response.Response.Header.Get("X-Amz-Request-Id") == ""
	return stranger, stranger && response.Response.ContentLength != 0
}

// apiError is the code and the text that the server gave, "" where it gave none. In place of an answer
// without a document the SDK makes up a code and a text from the status.
func apiError(err error) (code, said string) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return "", ""
	}
	code, said = api.ErrorCode(), strings.TrimSpace(api.ErrorMessage())
	status := http.StatusText(httpStatus(err))
	if code == "UnknownError" || status != "" && said == status {
		return "", ""
	}
	return code, said
}

// credentialText is what looks like an access key, or is too long and mixed to be a word or an ARN's
// part: a signature, a session token.
var credentialText = regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{12,}|[A-Za-z0-9+/=%]{40,}`)

// quotedText is what the server said, as an addition to a sentence. It is cut: a proxy's page may be
// anything. A careless server repeats the credentials of the request: those are taken out.
func quotedText(said string) string {
	const most = 300
	said = credentialText.ReplaceAllString(said, "[hidden]")
	if said == "" {
		return ""
	}
	if len(said) > most {
		said = strings.ToValidUTF8(said[:most], "") + "…"
	}
	return fmt.Sprintf(" (%q)", said)
}
