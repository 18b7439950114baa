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

// hasCode reports whether err is a backend.Error with this code.
func hasCode(err error, code backend.Code) bool {
	return backend.CodeOf(err) == code
}

// explain turns the error of a request into a sentence.
func (b *bucket) explain(ctx context.Context, r request, err error) error {
	if unsent, withheld := errors.AsType[*backend.UnsentError](err); withheld {
		return unsent
	}
	if source, ours := errors.AsType[*backend.SourceError](err); ours {
		return source
	}
	if ctx.Err() != nil {
		return fmt.Errorf("cannot %s %q: %w", r.doing, r.object, context.Cause(ctx))
	}
	code, why := b.reasonFor(r, err)
	return &backend.Error{Address: r.object, Code: code, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.object, why), Err: err}
}

// reasonFor returns the code of err, and the part of the sentence that says why and what to
// do. For the API's codes see
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func (b *bucket) reasonFor(r request, err error) (code backend.Code, why string) {
	apiCode, said := apiError(err)
	switch apiCode {
	case "NoSuchBucket":
		return backend.NoContainer, fmt.Sprintf("the bucket %q does not exist here: check its name, the endpoint and the account", b.name)
	case "NoSuchKey", "NotFound":
		return backend.NoState, `the object does not exist (to search a prefix, end it in "/")`
	case "NoSuchVersion":
		return backend.NoState, "this version does not exist"
	case "AccessDenied", "AllAccessDisabled", "AccessDeniedException", "UnauthorizedAccess":
		return b.accessDenied(r, said)
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired":
		return backend.ExpiredCredentials, "the AWS session has expired: log in again" + b.loginHint()
	case "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidToken":
		return backend.BadCredentials, "the server does not know this access key: check which credentials are in use (AWS_PROFILE, AWS_ACCESS_KEY_ID, ?profile=) and that they belong to this endpoint"
	case "SignatureDoesNotMatch", "InvalidSignatureException", "AuthFailure":
		return backend.BadCredentials, "the server rejects the signature: the secret key is wrong, or something on the way modifies requests"
	case "RequestTimeTooSkewed":
		return backend.BadCredentials, "the clocks of the server and this machine are too far apart: set the clock"
	case "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return backend.WrongRegion, fmt.Sprintf("the bucket is in another region: name it with ?%s=NAME", paramRegion)
	case "InvalidObjectState":
		return backend.Archived, "it is archived (Glacier): restore it first, for example with: aws s3api restore-object"
	case "SlowDown", "ServiceUnavailable", "ThrottlingException", "ProvisionedThroughputExceededException":
		return backend.Failed, "the server still asks to slow down after several attempts: try again with a lower --parallelism"
	case "ResourceNotFoundException":
		return backend.Failed, "the table does not exist in this account and region"
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
			return backend.KeyDenied, fmt.Sprintf("it is encrypted with a customer-provided key (SSE-C): set %s to the key that Terraform uses%s", customerKeyVariable, quotedText(said))
		}
	}
	if apiCode != "" && said != "" {
		return backend.Failed, fmt.Sprintf("the server said %s%s", apiCode, quotedText(said))
	}
	return b.withoutText(r, err, apiCode)
}

// accessDenied distinguishes a missing permission from an unusable encryption key; both
// have the same code.
func (b *bucket) accessDenied(r request, said string) (code backend.Code, why string) {
	switch {
	case strings.Contains(strings.ToLower(said), "kms"):
		return backend.KeyDenied, "its KMS key cannot be used: kms:Decrypt is missing (writing a lock also needs kms:GenerateDataKey)" + quotedText(said)
	case r.action == "s3:GetObject":
		// Without s3:ListBucket, S3 answers 403 for an object that does not exist.
		key := ""
		if b.sse != nil {
			key = fmt.Sprintf(", or the key in %s is not the one that encrypted it", customerKeyVariable)
		}
		return backend.AccessDenied, fmt.Sprintf("access denied: the credentials need %s for it (or it does not exist, which S3 reveals only with s3:ListBucket%s)%s", r.action, key, quotedText(said))
	default:
		return backend.AccessDenied, fmt.Sprintf("access denied: the credentials need %s%s", r.action, quotedText(said))
	}
}

// withoutText explains an error without a document, or one that did not come from the
// server.
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
				return backend.Failed, "the endpoint answered 404, but not like S3: is it an S3 server?"
			case stranger:
				return backend.NoState, "the object does not exist, but the endpoint does not answer like S3: is it an S3 server?"
			}
			return backend.NoState, "the object does not exist"
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
			return backend.WrongRegion, fmt.Sprintf("the bucket is elsewhere: say where with ?%s=NAME or ?%s=URL", paramRegion, paramEndpoint)
		default:
			if apiCode == "" {
				apiCode = "without a readable reason: is the endpoint an S3 server?"
			}
			return backend.Failed, fmt.Sprintf("the server answered %d, %s", status, apiCode)
		}
	}
	why = plainwords.Describe(err)
	var dns *net.DNSError
	if errors.As(err, &dns) && b.endpoint != "" && strings.HasPrefix(dns.Name, b.name+".") {
		why += fmt.Sprintf("; servers without a host name for each bucket need ?%s=true", paramPathStyle)
	}
	return backend.Unreachable, why
}

// wrongCustomerKey explains what S3 reports as access denied.
const wrongCustomerKey = "the key in " + customerKeyVariable + " is not the one that encrypted it (SSE-C): set it to the key that Terraform uses"

// isStranger reports whether the response behind err does not look like S3's, and whether
// it has a body. S3 explains itself, except in answers to HEAD, and gives every request an
// ID; simple servers may do neither.
func isStranger(err error) (stranger, page bool) {
	var response *awshttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil || response.Response.Request == nil {
		return false, false
	}
	stranger = response.Response.Request.Method != http.MethodHead && response.Response.Header.Get("X-Amz-Request-Id") == ""
	return stranger, stranger && response.Response.ContentLength != 0
}

// apiError returns the server's code and text, or "". When a response has no document, the
// SDK makes up a code and a text from the status.
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

// credentialText matches what looks like an access key, or is too long and mixed to be a
// word or part of an ARN: a signature or a session token.
var credentialText = regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{12,}|[A-Za-z0-9+/=%]{40,}`)

// quotedText returns the server's text for appending to a sentence. Credentials are removed,
// because a careless server repeats those of the request.
func quotedText(said string) string { return plainwords.Quoted(said, credentialText) }
