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

// profileInUse returns the profile that the SDK uses, or "" for the default profile.
func profileInUse(typed string) string {
	for _, name := range []string{typed, os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE")} {
		if name != "" {
			return name
		}
	}
	return ""
}

// sharedConfig returns the profile's settings as read by the SDK, or empty settings
// without a profile.
func sharedConfig(cfg aws.Config) config.SharedConfig {
	for _, from := range cfg.ConfigSources {
		if shared, ok := from.(config.SharedConfig); ok {
			return shared
		}
	}
	return config.SharedConfig{}
}

// loginProfile returns the profile whose session "aws sso login" opens, or "" if no profile
// uses SSO. For a role it is the source profile, which may differ from the one in use.
func loginProfile(shared config.SharedConfig) string {
	for at := &shared; at != nil; at = at.Source {
		if at.SSOSessionName != "" || at.SSOStartURL != "" {
			return at.Profile
		}
	}
	return ""
}

// checkEndpointVariables refuses endpoints in the environment that contain more than an
// address, because the SDK repeats them in its errors.
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
		return fmt.Errorf("an endpoint_url of the profile %q in the shared AWS files must be https://HOST[:PORT] and nothing else: no credentials, no query; credentials have their own settings there", shared.Profile)
	}
	return nil
}

// isBareEndpoint reports whether an endpoint is empty or only an address.
func isBareEndpoint(given string) bool {
	e, err := url.Parse(given)
	return given == "" || err == nil && e.Host != "" && e.User == nil && e.RawQuery == "" && e.Fragment == ""
}

// loginHint returns the command that opens a new session.
func (b *bucket) loginHint() string {
	if b.login == "" {
		return " with the tool that issued the credentials"
	}
	return " with: aws sso login --profile " + plainwords.ShellWord(b.login)
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
		network = "" // set only in clouds
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
		return backend.NoCredentials, fmt.Sprintf("the credential server refused the request: %s%s", apiCode, quotedText(said))
	case network != "":
		return backend.NoCredentials, "the credential server cannot be reached: " + network
	case profile != "":
		return backend.NoCredentials, fmt.Sprintf("the profile %q provides no credentials: check it with: aws sts get-caller-identity --profile %s", profile, plainwords.ShellWord(profile))
	}
	return backend.NoCredentials, "no AWS credentials found in the environment, the shared AWS files, or on this machine: log in, set AWS_PROFILE, or name a profile with ?" + paramProfile + "=NAME"
}

// isLoggedOut reports whether a profile with SSO has no valid session. For a profile with
// an sso_session, only the SDK's error text shows it.
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

// whyProcess explains why a credential_process provided no credentials. The SDK's error
// repeats the program's output, which may be secret.
func whyProcess(err error) string {
	text := err.Error()
	for part, why := range map[string]string{
		"parse failed":            "its output is not JSON",
		"wrong version":           `its JSON has no "Version": 1`,
		"missing AccessKeyId":     "its JSON has no AccessKeyId",
		"missing SecretAccessKey": "its JSON has no SecretAccessKey",
		"timed out":               "it did not finish within a minute",
	} {
		if strings.Contains(text, part) {
			return why
		}
	}
	for next := error(err); next != nil; next = errors.Unwrap(next) {
		if exit, ok := next.(interface{ ExitCode() int }); ok {
			return fmt.Sprintf("it exited with status %d: run its command by hand to see why", exit.ExitCode())
		}
	}
	return "it cannot be run: run its command by hand to see why"
}

// explainConfig explains why the environment and the shared AWS files could not be read.
func explainConfig(ctx context.Context, u *location, err error) error {
	name := u.name(u.key)
	if ctx.Err() != nil {
		return fmt.Errorf("cannot use %q: %w", name, context.Cause(ctx))
	}
	typed := u.params.Get(paramProfile)
	profile := profileInUse(typed)
	why := "cannot read the AWS configuration: " + plainwords.Describe(err)
	missing, isMissing := errors.AsType[config.SharedConfigProfileNotExistError](err)
	_, isMFA := errors.AsType[config.AssumeRoleTokenProviderNotSetError](err)
	switch {
	case isMissing:
		why = fmt.Sprintf("the shared AWS files (~/.aws/config, ~/.aws/credentials) have no profile %q", missing.Profile)
	case isMFA:
		option := ""
		if profile != "" {
			option = " --profile " + plainwords.ShellWord(profile)
		}
		why = fmt.Sprintf("%s assumes a role that requires an MFA code, and tfhaul does not prompt for codes: "+
			`first export a session to the environment, for example with: eval "$(aws configure export-credentials%s --format env)"`, namedProfile(profile), option)
		if typed != "" {
			why += fmt.Sprintf(", and leave out ?%s=", paramProfile)
		}
	}
	return &backend.Error{Address: name, Code: backend.NoCredentials, Message: fmt.Sprintf("cannot use %q: %s", name, why), Err: err}
}
