package tfe

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/parser"

	"tfhaul/plainwords"
)

// maxConfigFile limits the size of a CLI configuration file, in bytes.
const maxConfigFile = 1 << 20

// cliConfig is the part of the Terraform CLI configuration about credentials
// (https://developer.hashicorp.com/terraform/cli/config/config-file). It is read with HCL
// 1, as in Terraform: HCL 2 rejects files that Terraform accepts, such as one with
// dev_overrides.
type cliConfig struct {
	tokens  map[string]configured // by comparable host
	helpers map[string][]string   // arguments by name; Terraform permits one helper
	looked  []string              // which files were read, and with what result
}

// configured is a token and the file it is in.
type configured struct{ token, file string }

// readCLIConfig reads the files that Terraform would read; later files override earlier
// ones. A file that cannot be used is noted in looked, and is reported only if no token is
// found.
func readCLIConfig(place configPlace, env func(string) string) *cliConfig {
	c := &cliConfig{tokens: map[string]configured{}, helpers: map[string][]string{}}
	// TERRAFORM_CONFIG is the old name of the variable, which Terraform still supports.
	for _, name := range []string{"TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG"} {
		if file := env(name); file != "" {
			c.read(file, name+" ")
			return c // and no other file, as in Terraform
		}
	}
	if place.file == "" {
		c.looked = append(c.looked, "the Terraform CLI configuration (no home directory)")
		return c
	}
	c.read(place.file, "")
	c.readDir(place.dir)
	return c
}

func (c *cliConfig) readDir(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		c.note("", filepath.Join(dir, "credentials.tfrc.json"), err)
		return
	}
	hasCredentials := false
	for _, entry := range entries { // by name
		name := entry.Name()
		if strings.HasSuffix(name, ".tfrc") || strings.HasSuffix(name, ".tfrc.json") {
			c.read(filepath.Join(dir, name), "")
			hasCredentials = hasCredentials || name == "credentials.tfrc.json"
		}
	}
	if !hasCredentials {
		c.note("", filepath.Join(dir, "credentials.tfrc.json"), fs.ErrNotExist)
	}
}

func (c *cliConfig) read(file, prefix string) {
	text, err := readBounded(file)
	if err != nil {
		c.note(prefix, file, err)
		return
	}
	said, err := decodeCLIConfig(text)
	if err != nil {
		c.note(prefix, file, err)
		return
	}
	c.looked = append(c.looked, prefix+file)
	for given, credentials := range said.Credentials {
		host, err := comparableHost(given)
		if token, ok := credentials["token"].(string); ok && err == nil {
			c.tokens[host] = configured{token, file}
		}
	}
	for name, helper := range said.CredentialsHelpers {
		c.helpers[name] = nil
		if helper != nil {
			c.helpers[name] = helper.Args
		}
	}
}

func (c *cliConfig) note(prefix, file string, err error) {
	why := plainwords.WithoutPath(err).Error()
	if errors.Is(err, fs.ErrNotExist) {
		why = "does not exist"
	}
	c.looked = append(c.looked, fmt.Sprintf("%s%s (%s)", prefix, file, why))
}

// helper returns the credentials helper to use: the first one by name. Terraform refuses a
// configuration with several; this at least makes the choice predictable.
func (c *cliConfig) helper() (name string, args []string, ok bool) {
	for _, name := range slices.Sorted(maps.Keys(c.helpers)) {
		return name, c.helpers[name], true
	}
	return "", nil, false
}

type cliConfigFile struct {
	Credentials        map[string]map[string]any   `hcl:"credentials"`
	CredentialsHelpers map[string]*cliConfigHelper `hcl:"credentials_helper"`
}

type cliConfigHelper struct {
	Args []string `hcl:"args"`
}

// decodeCLIConfig reads one file, in HCL or JSON. Its errors give the location, never the
// content.
func decodeCLIConfig(text []byte) (*cliConfigFile, error) {
	if bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) && !json.Valid(text) {
		return nil, errors.New("is not valid JSON")
	}
	if tooDeep(text) {
		return nil, fmt.Errorf("is nested more than %d levels deep", maxConfigNesting)
	}
	tree, err := hcl.ParseBytes(text)
	if err != nil {
		if at, ok := errors.AsType[*parser.PosError](err); ok {
			return nil, fmt.Errorf("is not valid at line %d", at.Pos.Line)
		}
		return nil, errors.New("is neither valid HCL nor valid JSON")
	}
	var said cliConfigFile
	if err := hcl.DecodeObject(&said, tree); err != nil {
		return nil, errors.New("has credentials in a form that Terraform does not read")
	}
	return &said, nil
}

// readBounded reads a whole file, up to a limit.
func readBounded(file string) ([]byte, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(in, maxConfigFile+1))
	if err == nil && len(text) > maxConfigFile {
		err = fmt.Errorf("is larger than %d bytes", maxConfigFile)
	}
	return text, err
}

// configPlace is where Terraform keeps a user's configuration.
type configPlace struct {
	file string // .terraformrc, or terraform.rc on Windows
	dir  string // .terraform.d, or terraform.d on Windows
}

// configPlaceIn returns the configuration below home: the home directory, or %APPDATA% on
// Windows.
func configPlaceIn(home, goos string) configPlace {
	switch {
	case home == "":
		return configPlace{}
	case goos == "windows":
		return configPlace{filepath.Join(home, "terraform.rc"), filepath.Join(home, "terraform.d")}
	}
	return configPlace{filepath.Join(home, ".terraformrc"), filepath.Join(home, ".terraform.d")}
}

// homeOf returns the directory for configPlaceIn.
func homeOf(env func(string) string, goos string) string {
	if goos == "windows" {
		return env("APPDATA")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	return cmp.Or(env("HOME"), home)
}
