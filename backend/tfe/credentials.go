package tfe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"tfhaul/backend"
	"tfhaul/plainwords"
)

// CredentialOptions configure where FindToken looks.
type CredentialOptions struct {
	// TokenFile contains only the token. It takes precedence over everything else and must
	// be usable.
	TokenFile string
	// Environ holds the environment as NAME=VALUE.
	Environ []string
	// OnlyForHost ignores tokens that are not stored for the host in particular, TFE_TOKEN
	// and TokenFile, because another user may have chosen the host.
	OnlyForHost bool
	// Timeout ends a credentials helper that does not answer for this long; 0 means one
	// minute.
	Timeout time.Duration
	// Advise receives warnings; nil discards them.
	Advise func(string)
}

// NoTokenError is returned when no token for a host was found. It lists where FindToken
// looked.
type NoTokenError struct {
	Host   string
	Looked []string // every place, in order, with the result
}

func (e *NoTokenError) Error() string {
	return fmt.Sprintf("no API token for %s found; looked at: %s; run `terraform login %s`, or set TFE_TOKEN",
		e.Host, strings.Join(e.Looked, ", "), e.Host)
}

// FindToken finds the API token for a host (an Address.Host), in this order: the token
// file, TFE_TOKEN, TF_TOKEN_<host>, the credentials blocks of the Terraform CLI
// configuration, and its credentials helper, which is run. If nothing has a token, it returns a
// *NoTokenError. It returns another error for a token file that cannot be used, a helper
// that fails, and a value that cannot be a token.
func FindToken(ctx context.Context, host string, o CredentialOptions) (Token, error) {
	if o.TokenFile != "" && !o.OnlyForHost {
		return tokenFromFile(o.TokenFile, o.Advise)
	}
	host, err := comparableHost(host)
	if err != nil {
		return Token{}, fmt.Errorf("the host %q cannot have a token: %w", host, err)
	}
	env := backend.Getenv(o.Environ)
	looked := []string{}

	if !o.OnlyForHost {
		if value := env("TFE_TOKEN"); strings.TrimSpace(value) != "" {
			return tokenOf(value, "TFE_TOKEN")
		}
		looked = append(looked, "TFE_TOKEN")
	}

	name, value := tokenVariable(o.Environ, host)
	if strings.TrimSpace(value) != "" {
		return tokenOf(value, name)
	}
	looked = append(looked, name)

	place := configPlaceIn(homeOf(env, runtime.GOOS), runtime.GOOS)
	config := readCLIConfig(place, env)
	looked = append(looked, config.looked...)
	if found := config.tokens[host]; strings.TrimSpace(found.token) != "" {
		return tokenOf(found.token, found.file)
	}

	if name, args, ok := config.helper(); ok {
		helper, err := findHelper(name, args, place.dir)
		if err != nil {
			looked = append(looked, err.Error())
		} else {
			token, err := helper.get(ctx, host, o.Environ, o.Timeout)
			if err != nil {
				return Token{}, err
			}
			if token != "" {
				return tokenOf(token, helper.String())
			}
			looked = append(looked, helper.String())
		}
	}
	return Token{}, &NoTokenError{Host: displayHost(host), Looked: looked}
}

// tokenFromFile reads a token file.
func tokenFromFile(file string, advise func(string)) (Token, error) {
	text, err := readBounded(file)
	if err != nil {
		return Token{}, fmt.Errorf("the token file %q cannot be read: %w", file, plainwords.WithoutPath(err))
	}
	if strings.TrimSpace(string(text)) == "" {
		return Token{}, fmt.Errorf("the token file %q is empty", file)
	}
	info, err := os.Stat(file)
	if err == nil && advise != nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		advise(fmt.Sprintf("the token file %q can be read by others (mode %04o): run chmod 600 on it", file, info.Mode().Perm()))
	}
	token, err := tokenOf(strings.TrimPrefix(string(text), "\ufeff"), fmt.Sprintf("the token file %q", file))
	if err != nil {
		return Token{}, err
	}
	return newToken(token.Secret(), file), nil
}

// tokenOf returns a Token for the text that was found, without surrounding white space.
func tokenOf(found, origin string) (Token, error) {
	secret := strings.TrimSpace(found)
	for _, c := range secret {
		if c <= ' ' || c > '~' || c == '"' || c == '{' {
			return Token{}, fmt.Errorf("%s does not contain a valid token: it has spaces, line breaks, quotes or other invalid characters; it must be the token and nothing else", origin)
		}
	}
	if secret == "" {
		return Token{}, errors.New(origin + " is empty")
	}
	return newToken(secret, origin), nil
}

// tokenVariable finds the variable with the token for host, in any spelling that Terraform
// accepts (internal/command/cliconfig/credentials.go): "_" for ".", "__" for "-", any case,
// punycode or not. If it finds no variable, it returns the name to use.
func tokenVariable(environ []string, host string) (name, value string) {
	const prefix = "TF_TOKEN_"
	name = prefix + strings.ReplaceAll(strings.ReplaceAll(host, "-", "__"), ".", "_")
	if strings.Contains(host, ":") {
		name = prefix + "<host> (which cannot name a port)"
	}
	for _, variable := range environ {
		key, val, _ := strings.Cut(variable, "=")
		encoded, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		decoded := strings.ReplaceAll(strings.ReplaceAll(encoded, "__", "-"), "_", ".")
		if got, err := comparableHost(decoded); err == nil && got == host {
			name, value = key, val // the last one wins, as in Terraform
		}
	}
	return name, value
}
