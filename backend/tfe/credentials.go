package tfe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// CredentialOptions say where FindToken looks. The zero value means this process's environment and
// this user's configuration.
type CredentialOptions struct {
	// TokenFile holds the token and nothing else. It wins over everything, and has to be usable.
	TokenFile string
	// Environ holds the environment as NAME=VALUE; nil means os.Environ().
	Environ []string
	// Home is the directory with .terraformrc and .terraform.d, or on Windows with terraform.rc and
	// terraform.d; empty means the user's home directory, or %APPDATA%.
	Home string
	// Timeout ends a credentials helper that does not answer for so long; 0 means a minute.
	Timeout time.Duration
	// Advise receives sentences about what is unwise and works; nil drops them.
	Advise func(string)
}

// NoTokenError says that no token for a host was found, and where it was looked for.
type NoTokenError struct {
	Host   string
	Looked []string // every place, in order, with what was found there
}

func (e *NoTokenError) Error() string {
	return fmt.Sprintf("there is no API token for %s; looked at: %s; run `terraform login %s`, or set TFE_TOKEN",
		e.Host, strings.Join(e.Looked, ", "), e.Host)
}

// FindToken finds the API token for a host, as Address.Host holds it, in this order: the token file,
// TFE_TOKEN, TF_TOKEN_<host>, the credentials blocks of the Terraform CLI configuration, its credentials
// helper, which is run. Where there is none the error is a *NoTokenError; a token file that cannot be
// used, and a helper that fails, are errors of their own, and so is a value that no token can be.
func FindToken(ctx context.Context, host string, o CredentialOptions) (Token, error) {
	if o.TokenFile != "" {
		return tokenFromFile(o.TokenFile, o.Advise)
	}
	host, err := comparableHost(host)
	if err != nil {
		return Token{}, fmt.Errorf("there can be no token for the host %q: %w", host, err)
	}
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	env := lookup(environ)
	looked := []string{}

	if value := env("TFE_TOKEN"); strings.TrimSpace(value) != "" {
		return tokenOf(value, "TFE_TOKEN")
	}
	looked = append(looked, "TFE_TOKEN")

	name, value := tokenVariable(environ, host)
	if strings.TrimSpace(value) != "" {
		return tokenOf(value, name)
	}
	looked = append(looked, name)

	home := o.Home
	if home == "" {
		home = homeOf(env, runtime.GOOS)
	}
	place := configPlaceIn(home, runtime.GOOS)
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
			token, err := helper.get(ctx, host, environ, o.Timeout)
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
	const most = 64 << 10
	in, err := os.Open(file)
	if err != nil {
		return Token{}, fmt.Errorf("the token file %q cannot be read: %w", file, reasonOf(err))
	}
	defer func() { _ = in.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return Token{}, fmt.Errorf("the token file %q cannot be read: %w", file, reasonOf(err))
	}
	if strings.TrimSpace(string(text)) == "" {
		return Token{}, fmt.Errorf("the token file %q is empty", file)
	}
	info, err := in.Stat()
	if err == nil && advise != nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		advise(fmt.Sprintf("the token file %q can be read by others (mode %04o): chmod 600 it", file, info.Mode().Perm()))
	}
	token, err := tokenOf(strings.TrimPrefix(string(text), "\ufeff"), fmt.Sprintf("the token file %q", file))
	if err != nil {
		return Token{}, err
	}
	return newToken(token.Secret(), file), nil
}

// tokenOf makes a Token of what was found, without the blanks around it.
func tokenOf(found, origin string) (Token, error) {
	secret := strings.TrimSpace(found)
	for _, c := range secret {
		if c <= ' ' || c > '~' || c == '"' || c == '{' {
			return Token{}, fmt.Errorf("what %s holds cannot be a token: it has blanks, line breaks, quotes or other characters that no token has; it must be the token and nothing else", origin)
		}
	}
	if secret == "" {
		return Token{}, errors.New("what " + origin + " holds is empty")
	}
	return newToken(secret, origin), nil
}

// tokenVariable finds the variable with the token for host, written in any of the ways that Terraform
// takes (internal/command/cliconfig/credentials.go): "_" for ".", "__" for "-", any case, punycode or
// not. Without one it gives the name that such a variable would have.
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
			name, value = key, val // the last one counts, as it does for Terraform
		}
	}
	return name, value
}

// lookup is os.Getenv over environ.
func lookup(environ []string) func(string) string {
	return func(name string) string {
		value := ""
		for _, variable := range environ {
			key, val, _ := strings.Cut(variable, "=")
			if key == name || runtime.GOOS == "windows" && strings.EqualFold(key, name) {
				value = val
			}
		}
		return value
	}
}
