package pg

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfhaul/backend"
	"tfhaul/backend/backendtest"
)

// environment sets the variables that the kind reads, and clears the others.
func environment(t *testing.T, variables ...string) backend.Kind {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "") // restored after the test
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	home := t.TempDir()
	for _, variable := range append([]string{"HOME=" + home, "USERPROFILE=" + home, "APPDATA=" + home, "PGUSER=os-user"}, variables...) {
		if name, value, ok := strings.Cut(variable, "="); ok {
			t.Setenv(name, value)
		}
	}
	return Kind(backend.Connection{})
}

func TestAddressesOfTargets(t *testing.T) {
	kind := environment(t)
	for _, state := range []string{
		"postgres://tf@db.example.com/infra?schema=net&workspace=prod",
		"postgres://tf@db.example.com:6432/infra?schema=terraform_remote_state&workspace=default&sslmode=verify-full",
		"postgres://t%40f@[::1]/infra?schema=net&workspace=prod&options=-cstatement_timeout%3D5min&sslrootcert=/etc/ca.pem",
		"postgres://tf@/infra?schema=net&workspace=prod&host=/var/run/postgresql",
	} {
		backendtest.Role(t, kind, state, "postgres://tf@db.example.com/infra?schema=net")
	}
}

// What an address leaves out comes from PG_CONN_STR, if it does not contradict it, and from
// libpq's variables.
func TestCanonicalAddresses(t *testing.T) {
	const socket = "host=/run/pg user=ci dbname=infra"
	for _, tt := range []struct {
		address     string
		environment []string
		want        string
	}{
		{"postgres://tf@db/infra", nil, "postgres://tf@db/infra?schema=terraform_remote_state"},
		{"POSTGRES://tf@db:5432/infra?workspace=prod&schema=net", nil, "postgres://tf@db/infra?schema=net&workspace=prod"},
		{"postgresql://tf@db/infra?schema=net", nil, "postgres://tf@db/infra?schema=net"},
		{"postgres://db", nil, "postgres://os-user@db/os-user?schema=terraform_remote_state"},
		{"postgres://db/infra?user=tf&port=6000", nil, "postgres://tf@db:6000/infra?schema=terraform_remote_state"},
		{"postgres://tf@db/infra", []string{"PG_SCHEMA_NAME=net"}, "postgres://tf@db/infra?schema=net"},
		{"postgres://tf@db/infra?schema=dns", []string{"PG_SCHEMA_NAME=net"}, "postgres://tf@db/infra?schema=dns"},
		{"postgres:///?schema=net", []string{"PGHOST=db", "PGDATABASE=infra", "PGPORT=6000"}, "postgres://os-user@db:6000/infra?schema=net"},
		{"postgres://", []string{"PG_CONN_STR=postgres://ci:secret@db/infra?sslmode=disable", "PGHOST=other"}, "postgres://ci@db/infra?schema=terraform_remote_state"},
		{"postgres://?schema=net", []string{"PG_CONN_STR=postgresql://ci:secret@db/infra"}, "postgres://ci@db/infra?schema=net"},
		{"postgres://", []string{"PG_CONN_STR=" + socket + " password='it\\'s secret'"}, "postgres://ci@/infra?schema=terraform_remote_state&host=/run/pg"},
		{"postgres://db", []string{"PG_CONN_STR=postgres://ci:secret@db/infra"}, "postgres://ci@db/infra?schema=terraform_remote_state"},
		{"postgres://other/infra", []string{"PG_CONN_STR=postgres://ci:secret@db/infra"}, "postgres://os-user@other/infra?schema=terraform_remote_state"},
		{"postgres://tf:secret@db/infra?sslmode=disable", nil, "postgres://tf@db/infra?schema=terraform_remote_state&sslmode=disable"},
	} {
		kind := environment(t, tt.environment...)
		if got := kind.Canonical(tt.address); got != tt.want {
			t.Errorf("%s with %v is %s, want %s", tt.address, tt.environment, got, tt.want)
		}
	}
}

func TestWhereThePasswordComesFrom(t *testing.T) {
	passfile := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(passfile, []byte("db:5432:infra:tf:from-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		address     string
		environment []string
		want        string
	}{
		{"postgres://tf@db/infra", nil, ""},
		{"postgres://tf@db/infra", []string{"PGPASSWORD=variable"}, "variable"},
		{"postgres://tf@db/infra", []string{"PGPASSWORD=variable", "PG_CONN_STR=postgres://tf:connection@db/infra"}, "connection"},
		{"postgres://tf@db/infra", []string{"PGPASSWORD=variable", "PG_CONN_STR=postgres://tf:connection@other/infra"}, "variable"},
		{"postgres://tf:a%2Fdd@db/infra", []string{"PGPASSWORD=variable", "PG_CONN_STR=postgres://tf:connection@db/infra"}, "a/dd"},
		{"postgres://tf@db/infra?password=parameter", nil, "parameter"},
		{"postgres://tf@db/infra", []string{"PGPASSFILE=" + passfile}, ""}, // lib/pq reads the file when it connects
	} {
		environment(t, tt.environment...)
		s := &servers{connection: backend.Connection{}.WithDefaults(), passwords: map[string]string{}}
		l, err := s.parse(tt.address)
		if err != nil {
			t.Fatal(err)
		}
		if l.config.Password != tt.want {
			t.Errorf("%s with %v: the password is not %q", tt.address, tt.environment, tt.want)
		}
		again, err := s.parse(l.String()) // as the journal has it
		if err != nil || again.config.Password != tt.want {
			t.Errorf("%s: the password was lost (%v)", tt.address, err)
		}
	}
}

// Terraform's driver requires TLS by default.
func TestDefaultOfSSLMode(t *testing.T) {
	for _, tt := range []struct{ address, variable, want string }{
		{"postgres://tf@db/infra", "", "require"},
		{"postgres://tf@db/infra", "PGSSLMODE=verify-full", "verify-full"},
		{"postgres://tf@db/infra", "PG_CONN_STR=postgres://tf@db/infra?sslmode=disable", "disable"},
		{"postgres://tf@db/infra?sslmode=verify-ca", "PGSSLMODE=disable", "verify-ca"},
		{"postgres://tf@/infra?host=/run/pg", "", "disable"}, // a Unix socket
	} {
		environment(t, tt.variable)
		l, err := (&servers{connection: backend.Connection{}.WithDefaults(), passwords: map[string]string{}}).parse(tt.address)
		if err != nil || string(l.config.SSLMode) != tt.want {
			t.Errorf("%s with %s: %v, %v; want %s", tt.address, tt.variable, l, err, tt.want)
		}
	}
}

// Errors show nothing of an address that may be a part of a password.
func TestUnusableAddresses(t *testing.T) {
	for _, tt := range []struct{ address, variable, want string }{
		{"postgres://tf:se/cret@db/infra", "", "percent-encode special characters"},
		{"postgres://tf:12?se/cret@db/infra", "", "percent-encode special characters"},
		{"postgres://tf:secret@db/infra?shcema=net", "", `no parameter "shcema" here: it has schema, workspace`},
		{"postgres://tf:secret@db/infra?schema=", "", "schema in a postgres:// URL has no value"},
		{"postgres://tf:secret@db/infra?schema=a&schema=b", "", "schema appears twice"},
		{"postgres://tf:secret@db/infra?schema=%zz", "", "not percent-encoded correctly"},
		{"postgres://tf:secret@db,db2/infra", "", "names several hosts"},
		{"postgres://tf:secret@db/infra?sslmode=never", "", `wrong value for "sslmode"`},
		{"postgres://tf@db/a/b", "", "percent-encode special characters"},
		{"postgres://tf@db/infra", "PG_CONN_STR=postgres://tf:se/cret@db/infra", "PG_CONN_STR is not a valid"},
		{"postgres://tf@db/infra", "PG_CONN_STR=host=db password=a secret", "PG_CONN_STR and the PG* variables cannot be used: it is not"},
		{"postgres://tf@db/infra", "PGCHANNELBINDING=require", "$PGCHANNELBINDING is not supported"},
	} {
		kind := environment(t, tt.variable)
		_, err := kind.Open(t.Context(), tt.address)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %s: %v, want %q", tt.address, tt.variable, err, tt.want)
			continue
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "cret@") {
			t.Errorf("%s with %s: the error shows a part of the password: %v", tt.address, tt.variable, err)
		}
	}
}

func TestUnusableTargets(t *testing.T) {
	role := environment(t).Target
	if _, _, err := role.SplitState("postgres://tf:secret@db/infra"); err == nil || !strings.Contains(err.Error(), "add &workspace=default") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a schema as a state: %v", err)
	}
	if err := role.CheckContainer("postgres://tf:secret@db/infra?workspace=prod"); err == nil || !strings.Contains(err.Error(), "leave out workspace") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a workspace as a schema: %v", err)
	}
	for name, want := range map[string]string{"": "names no workspace", "a/b": "need no escaping", "a b": "need no escaping", "prod": "", "net-eu.1_x": ""} {
		if err := role.CheckName(name); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

func TestLayout(t *testing.T) {
	for _, tt := range []struct{ path, workspace, want string }{
		{"terraform.tfstate", "default", "default"}, {"terraform.tfstate", "", "default"}, {"terraform.tfstate", "prod", "prod"},
		{"net/eu/terraform.tfstate", "default", "net-eu"}, {"net/terraform.tfstate", "prod", "net-prod"},
		{"vpc.tfstate", "default", "vpc"}, {"net/vpc.tfstate", "prod", "net-vpc-prod"},
	} {
		if got := layout("", tt.path, tt.workspace); got != tt.want {
			t.Errorf("%s, %s: %s, want %s", tt.path, tt.workspace, got, tt.want)
		}
	}
}

// The program cuts passwords out of its arguments before it shows or records them.
func TestPasswordsAreCutOut(t *testing.T) {
	kind := environment(t)
	for _, tt := range []struct{ address, without, password string }{
		{"postgres://tf@db/infra?schema=net", "postgres://tf@db/infra?schema=net", ""},
		{"postgres://tf:se%2Fcret@db/infra?schema=net&workspace=prod", "postgres://tf@db/infra?schema=net&workspace=prod", "se/cret"},
		{"postgresql://tf:secret@db/infra", "postgresql://tf@db/infra", "secret"},
		{"postgres://tf:a@b@db/infra", "postgres://tf@db/infra", "a@b"},
		{"postgres://db/infra?schema=net&password=secret", "postgres://db/infra?schema=net", "secret"},
		{"postgres://:secret@db", "postgres://@db", "secret"},
		{"postgres://tf:se/cret@db/infra", unreadable, ""},
		{"postgres://tf:12?se/cret@db/infra", unreadable, ""},
		{"postgres://db/infra?nothing=1", "postgres://db/infra?nothing=", ""},
		{"postgres://tf:secret@db/infra?schema=net&pasword=1", "postgres://tf@db/infra?schema=net&pasword=", ""},
		{"postgres://tf:12?nothing=se@db/infra", unreadable, ""},
	} {
		without, password := kind.CutPassword(tt.address)
		if without != tt.without || password != tt.password {
			t.Errorf("%s is cut into %s and %q, want %s and %q", tt.address, without, password, tt.without, tt.password)
		}
		s := &servers{connection: backend.Connection{Passwords: map[string]string{without: password}}.WithDefaults(), passwords: map[string]string{}}
		if l, err := s.parse(without); without != unreadable && !strings.HasSuffix(without, "=") && (err != nil || l.config.Password != tt.password) {
			t.Errorf("%s: the password is lost (%v)", tt.address, err)
		}
	}
	if _, err := kind.Open(t.Context(), "postgres://tf@db/infra?schema=net&pasword="); err == nil || !strings.Contains(err.Error(), `no parameter "pasword"`) {
		t.Errorf("an unknown parameter: %v", err)
	}
	if _, err := kind.Open(t.Context(), unreadable); err == nil || !strings.Contains(err.Error(), "percent-encode special characters") {
		t.Errorf("an unreadable address: %v", err)
	}
}
