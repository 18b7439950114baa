package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// profileInUse returns the profile that the SDK takes, "" for the default one.
func profileInUse(typed string) string {
	for _, name := range []string{typed, os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE")} {
		if name != "" {
			return name
		}
	}
	return ""
}

// sharedConfig returns the profile's settings as the SDK read them, empty where there are none.
func sharedConfig(cfg aws.Config) config.SharedConfig {
	for _, from := range cfg.ConfigSources {
		if shared, ok := from.(config.SharedConfig); ok {
			return shared
		}
	}
	return config.SharedConfig{}
}

// loginProfile returns the profile that "aws sso login" opens the session of: that of a role's
// source, which may be another than the one in use. It is "" where no profile uses SSO.
func loginProfile(shared config.SharedConfig) string {
	for at := &shared; at != nil; at = at.Source {
		if at.SSOSessionName != "" || at.SSOStartURL != "" {
			return at.Profile
		}
	}
	return ""
}

// checkEndpointVariables refuses endpoints in the environment that hold more than an
// address: the SDK repeats them in its errors.
func checkEndpointVariables(environ []string) error {
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AWS_ENDPOINT_URL") && !isBareEndpoint(value) {
			return fmt.Errorf("the variable %s must be https://HOST[:PORT] and nothing else: no credentials, no query; credentials come from AWS_ACCESS_KEY_ID, AWS_PROFILE or the shared AWS files", name)
		}
	}
	return nil
}

// checkProfileEndpoints does the same for the shared AWS files.
func checkProfileEndpoints(shared config.SharedConfig) error {
	bare := isBareEndpoint(shared.BaseEndpoint)
	for _, settings := range shared.Services.ServiceValues {
		bare = bare && isBareEndpoint(settings["endpoint_url"])
	}
	if !bare {
		return fmt.Errorf("an endpoint_url of the profile %q in the shared AWS files must be https://HOST[:PORT] and nothing else: no credentials, no query; credentials are settings of their own there", shared.Profile)
	}
	return nil
}

// isBareEndpoint reports whether an endpoint is an address alone, or not set.
func isBareEndpoint(given string) bool {
	e, err := url.Parse(given)
	return given == "" || err == nil && e.Host != "" && e.User == nil && e.RawQuery == "" && e.Fragment == ""
}

// loginHint is the command that opens a session again.
func (b *bucket) loginHint() string {
	if b.login == "" {
		return " with whatever made the credentials"
	}
	return " with: aws sso login --profile " + shellQuoted(b.login)
}

// noCredentials explains why the SDK found no credentials.
func (b *bucket) noCredentials(r request, err error) error {
	code, why := b.whyNoCredentials(err)
	return &backend.Error{Address: r.object, Code: code, Message: fmt.Sprintf("cannot %s %q: %s", r.doing, r.object, why), Err: err}
}

func (b *bucket) whyNoCredentials(err error) (code backend.Code, why string) {
	profile := profileInUse(b.profile)
	apiCode, said := apiError(err)
	network := plainwords.Explain(err)
	if strings.Contains(strings.ToLower(err.Error()), "imds") {
		network = "" // which only clouds have
	}
	process, ofProcess := errors.AsType[*processcreds.ProviderError](err)
	switch {
	case ofProcess:
		return backend.NoCredentials, fmt.Sprintf("the credential_process of %s failed: %s", namedProfile(profile), whyProcess(process))
	case strings.HasPrefix(apiCode, "ExpiredToken"):
		return backend.ExpiredCredentials, "the AWS session has expired: log in again" + b.loginHint()
	case b.login != "" && network == "" && isLoggedOut(err, apiCode):
		return backend.ExpiredCredentials, "the SSO session has expired or was never opened: log in" + b.loginHint()
	case apiCode != "" && said != "":
		return backend.NoCredentials, fmt.Sprintf("the server of the credentials refused them: %s%s", apiCode, quotedText(said))
	case network != "":
		return backend.NoCredentials, "the server of the credentials cannot be reached: " + network
	case profile != "":
		return backend.NoCredentials, fmt.Sprintf("the profile %q gives no credentials: check it with: aws sts get-caller-identity --profile %s", profile, shellQuoted(profile))
	}
	return backend.NoCredentials, "no AWS credentials found in the environment, the shared AWS files, or from the machine itself: log in, set AWS_PROFILE, or name a profile with ?" + paramProfile + "=NAME"
}

// isLoggedOut reports whether a profile with SSO has no valid session. For a profile with an
// sso_session, the SDK says so in its text alone.
func isLoggedOut(err error, apiCode string) bool {
	_, invalid := errors.AsType[*ssocreds.InvalidTokenError](err)
	return invalid || strings.Contains(err.Error(), "SSO token") || apiCode == "UnauthorizedException"
}

func namedProfile(name string) string {
	if name == "" {
		return "the default profile"
	}
	return fmt.Sprintf("the profile %q", name)
}

// whyProcess explains why a credential_process gave no credentials. The SDK's text repeats what
// the program printed, which may be a secret.
func whyProcess(err error) string {
	text := err.Error()
	for part, why := range map[string]string{
		"parse failed":            "what it printed is not JSON",
		"wrong version":           `its JSON has no "Version": 1`,
		"missing AccessKeyId":     "its JSON has no AccessKeyId",
		"missing SecretAccessKey": "its JSON has no SecretAccessKey",
		"timed out":               "it did not end within a minute",
	} {
		if strings.Contains(text, part) {
			return why
		}
	}
	for next := error(err); next != nil; next = errors.Unwrap(next) {
		if exit, ok := next.(interface{ ExitCode() int }); ok {
			return fmt.Sprintf("it ended with status %d: run its command by hand to see why", exit.ExitCode())
		}
	}
	return "it could not be run: run its command by hand to see why"
}

// explainConfig explains why the environment and the shared AWS files could not be read.
func explainConfig(ctx context.Context, u *location, err error) error {
	name := u.name(u.key)
	if ctx.Err() != nil {
		return fmt.Errorf("cannot use %q: %w", name, context.Cause(ctx))
	}
	typed := u.params.Get(paramProfile)
	profile := profileInUse(typed)
	why := "the AWS configuration cannot be read: " + plainwords.Describe(err)
	missing, isMissing := errors.AsType[config.SharedConfigProfileNotExistError](err)
	_, isMFA := errors.AsType[config.AssumeRoleTokenProviderNotSetError](err)
	switch {
	case isMissing:
		why = fmt.Sprintf("there is no profile %q in the shared AWS files (~/.aws/config, ~/.aws/credentials)", missing.Profile)
	case isMFA:
		option := ""
		if profile != "" {
			option = " --profile " + shellQuoted(profile)
		}
		why = fmt.Sprintf("%s takes a role that requires an MFA code, and tfhaul does not ask for codes: "+
			`put a session into the environment first, for example with: eval "$(aws configure export-credentials%s --format env)"`, namedProfile(profile), option)
		if typed != "" {
			why += fmt.Sprintf(", and leave ?%s= out", paramProfile)
		}
	}
	return &backend.Error{Address: name, Code: backend.NoCredentials, Message: fmt.Sprintf("cannot use %q: %s", name, why), Err: err}
}
