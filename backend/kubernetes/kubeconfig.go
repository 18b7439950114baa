package kubernetes

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"tfhaul/plainwords"
)

// A kubeconfig names clusters, users, and contexts, which combine them
// (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/). Only what is used is decoded.
// It holds secrets and is never shown.
type kubeconfig struct {
	CurrentContext string `yaml:"current-context"`
	Clusters       []struct {
		Name    string        `yaml:"name"`
		Cluster configCluster `yaml:"cluster"`
	} `yaml:"clusters"`
	Users []struct {
		Name string     `yaml:"name"`
		User configUser `yaml:"user"`
	} `yaml:"users"`
	Contexts []struct {
		Name    string        `yaml:"name"`
		Context configContext `yaml:"context"`
	} `yaml:"contexts"`
}

type configCluster struct {
	Server        string     `yaml:"server"`
	TLSServerName string     `yaml:"tls-server-name"`
	CAFile        string     `yaml:"certificate-authority"`
	CAData        base64Text `yaml:"certificate-authority-data"`
	ProxyURL      string     `yaml:"proxy-url"`
	Extensions    []struct {
		Name      string `yaml:"name"`
		Extension any    `yaml:"extension"`
	} `yaml:"extensions"`
}

type configUser struct {
	CertFile     string              `yaml:"client-certificate"`
	CertData     base64Text          `yaml:"client-certificate-data"`
	KeyFile      string              `yaml:"client-key"`
	KeyData      base64Text          `yaml:"client-key-data"`
	Token        string              `yaml:"token"`
	TokenFile    string              `yaml:"tokenFile"`
	As           string              `yaml:"as"`
	AsUID        string              `yaml:"as-uid"`
	AsGroups     []string            `yaml:"as-groups"`
	AsExtra      map[string][]string `yaml:"as-user-extra"`
	Username     string              `yaml:"username"`
	Password     string              `yaml:"password"`
	AuthProvider *struct {
		Name string `yaml:"name"`
	} `yaml:"auth-provider"`
	Exec *execConfig `yaml:"exec"`
}

type configContext struct {
	Cluster string `yaml:"cluster"`
	User    string `yaml:"user"`
}

// base64Text is text that a kubeconfig has in base64.
type base64Text string

// UnmarshalYAML implements yaml.Unmarshaler. Its error does not repeat the text.
func (t *base64Text) UnmarshalYAML(node *yaml.Node) error {
	text, err := base64.StdEncoding.DecodeString(node.Value)
	if err != nil {
		return errors.New("a field whose name ends in -data is not in base64")
	}
	*t = base64Text(text)
	return nil
}

// maxKubeconfig limits how many bytes of a kubeconfig are read.
const maxKubeconfig = 16 << 20

// readKubeconfig reads one file. Relative paths in it become paths below its directory. Its
// error does not repeat the content.
func readKubeconfig(path string) (*kubeconfig, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(f, maxKubeconfig+1))
	k := &kubeconfig{}
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxKubeconfig:
		return nil, fmt.Errorf("it is larger than %d MiB", maxKubeconfig>>20)
	case yaml.Unmarshal(text, k) != nil:
		// The library's error may repeat a part of the file.
		return nil, errors.New("it is not a kubeconfig in YAML or JSON: check it with: kubectl config view")
	}
	k.resolve(filepath.Dir(path))
	return k, nil
}

func (k *kubeconfig) resolve(dir string) {
	below := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	for i := range k.Clusters {
		below(&k.Clusters[i].Cluster.CAFile)
	}
	for i := range k.Users {
		u := &k.Users[i].User
		below(&u.CertFile)
		below(&u.KeyFile)
		below(&u.TokenFile)
		if u.Exec != nil && strings.ContainsRune(u.Exec.Command, filepath.Separator) {
			below(&u.Exec.Command)
		}
	}
}

// merge adds what another file has. As in kubectl, the first file that names something counts.
func (k *kubeconfig) merge(other *kubeconfig) {
	if k.CurrentContext == "" {
		k.CurrentContext = other.CurrentContext
	}
	k.Clusters = append(k.Clusters, other.Clusters...)
	k.Users = append(k.Users, other.Users...)
	k.Contexts = append(k.Contexts, other.Contexts...)
}

func (k *kubeconfig) cluster(name string) *configCluster {
	for i := range k.Clusters {
		if k.Clusters[i].Name == name {
			return &k.Clusters[i].Cluster
		}
	}
	return nil
}

func (k *kubeconfig) user(name string) *configUser {
	for i := range k.Users {
		if k.Users[i].Name == name {
			return &k.Users[i].User
		}
	}
	return nil
}

func (k *kubeconfig) context(name string) *configContext {
	for i := range k.Contexts {
		if k.Contexts[i].Name == name {
			return &k.Contexts[i].Context
		}
	}
	return nil
}

// loadKubeconfig reads the files that the environment names, in Terraform's order:
// KUBE_CONFIG_PATH, or else the list KUBE_CONFIG_PATHS. It returns nil if there is no file. As in
// Terraform, ~/.kube/config is not read by itself.
func loadKubeconfig(getenv func(string) string) (*kubeconfig, error) {
	variable, paths := pathVariable, []string{getenv(pathVariable)}
	if paths[0] == "" {
		variable, paths = pathsVariable, filepath.SplitList(getenv(pathsVariable))
	}
	var all *kubeconfig
	for _, path := range paths {
		if path == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(path, "~"+string(filepath.Separator)); ok {
			path = filepath.Join(getenv("HOME"), rest)
		}
		k, err := readKubeconfig(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("the kubeconfig in %s cannot be read: %w", variable, plainwords.WithoutPath(err))
		case all == nil:
			all = k
		default:
			all.merge(k)
		}
	}
	return all, nil
}
