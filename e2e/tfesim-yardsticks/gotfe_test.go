// Package yardsticks runs independent tests against tfesim: the integration tests of
// hashicorp/go-tfe, unmodified from its module.
package yardsticks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	// Imports of go-tfe's tests, so that go.mod pins them.
	_ "github.com/hashicorp/go-tfe"
	_ "github.com/hashicorp/go-uuid"
	_ "github.com/stretchr/testify/require"

	"tfhaul/tfesim"
)

// chosen are go-tfe's tests for what tfesim supports: state versions, workspaces,
// organizations, projects, tags, the account, tokens of teams and organizations,
// configuration versions, runs, plans and applies.
const chosen = `^Test(ConfigurationVersions|Runs|Plans|Applies|StateVersion|Workspaces|Workspace_|WorkspaceResources|Organizations|Organization_|Projects|UsersReadCurrent|CanForceDelete|TeamTokens|OrganizationTokens)`

// An exception is a test that cannot pass, and the reason. It is still run, and must fail:
// an exception that is no longer needed is an error.
type exception struct {
	name   *regexp.Regexp
	reason string
}

func except(name, reason string) exception {
	return exception{regexp.MustCompile("^(?:" + name + ")$"), reason}
}

// tfesim executes runs with the real terraform, and never invents a plan.
const needsProvider = "waits for a plan of a configuration whose provider (hashicorp/null) would have to be downloaded"

// exceptions for both personalities.
var exceptions = []exception{
	except(`Test(Applies(Read|Logs)|Plans(Read|Logs|JSONOutput)|Runs(Apply|Discard|ForceExecute|ListQueryParams))_RunDependent`, needsProvider),
	except(`TestRunsConfirmedBy_RunDependent(/with_apply|/without_apply)?`, needsProvider),
	except(`TestConfigurationVersionsUploadTarGzip(/with_custom_tar_archive)?`, "uploads twice to one URL, which is valid for one upload here"),
	except(`TestConfigurationVersionsCreateForRegistryModule`, "is about the module registry, which tfesim does not have"),
	except(`TestWorkspacesList_RunDependent/(when_sorting_workspaces_on_current-run\.created-at|with_current-state-version,current-run_included|when_filter_workspaces_by_current_run_status)`, needsProvider),
	except(`TestWorkspacesReadWithHistory_RunDependent`, needsProvider),
	except(`TestProjectsList(/when_including_effective_tags_relationship)?`, "takes the first project of the list for the one that it created; the default project comes first"),
	except(`TestWorkspacesUnlock_RunDependent/when_a_workspace_is_locked_by_a_run`, needsProvider),
}

var cloudExceptions = []exception{
	except(`TestRunsRead_CostEstimate_RunDependent`, needsProvider),
	except(`TestOrganizationTokensReadWithOptions(/with_empty_options)?`, "is about audit trail tokens, which tfesim does not have"),
}

var enterpriseExceptions = []exception{
	except(`TestUsersReadCurrent/with_scim_attributes`, "enables SCIM through the admin API"),
	except(`Test(Workspace|Organization)_DataRetentionPolicy/.*`, "is about data retention policies, which tfesim does not have"),
}

func TestGoTFE(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs go-tfe's own tests")
	}
	binary := buildSuite(t)
	for _, run := range []struct {
		personality tfesim.Personality
		env         []string
		exceptions  []exception
	}{
		{tfesim.HCP, []string{"ENABLE_BETA=1"}, slices.Concat(exceptions, cloudExceptions)},
		{tfesim.TFE, []string{"ENABLE_BETA=1", "ENABLE_TFE=1"}, slices.Concat(exceptions, enterpriseExceptions)},
	} {
		t.Run(run.personality.String(), func(t *testing.T) {
			t.Parallel() // the suites mostly wait
			env := serve(t, run.personality)
			results := runSuite(t, binary, append(env, run.env...))
			judge(t, results, run.exceptions)
		})
	}
}

// buildSuite builds go-tfe's test binary.
func buildSuite(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "go-tfe.test.exe")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "github.com/hashicorp/go-tfe")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building go-tfe's tests: %v\n%s", err, out)
	}
	return binary
}

// serve runs tfesim and returns the environment for go-tfe's tests.
func serve(t *testing.T, p tfesim.Personality) []string {
	t.Helper()
	sim, err := tfesim.New(tfesim.Options{Personality: p, RateLimit: -1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(withPlans(sim))
	t.Cleanup(func() {
		server.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"TFE_ADDRESS=" + server.URL,
		"TFE_TOKEN=" + sim.Token(tfesim.Owner),
		"TFE_ADMIN_PROVISION_LICENSES_TOKEN=" + sim.Token(tfesim.SiteAdmin),
		"SSL_CERT_FILE=" + ca,
	}
}

// withPlans answers the two requests with which go-tfe's tests give an organization a paid
// plan. On the real server only HashiCorp can send them; here every organization already
// has all features.
func withPlans(sim http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", sim)
	mux.HandleFunc("GET /api/v2/admin/feature-sets", func(w http.ResponseWriter, _ *http.Request) {
		// The client fails the test if this cannot be written.
		_, _ = io.WriteString(w, `{"data":[{"id":"fs-1","type":"feature-sets"}],"meta":{"pagination":{"current-page":1,"total-pages":1,"total-count":1}}}`)
	})
	mux.HandleFunc("POST /api/v2/admin/organizations/{organization}/subscription", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// results are the outcomes of all tests by name: "pass", "fail" or "skip".
type results struct {
	outcome map[string]string
	output  map[string]*strings.Builder
}

// runSuite runs the chosen tests in their own directory, where they read fixtures.
func runSuite(t *testing.T, binary string, env []string) results {
	t.Helper()
	home, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/hashicorp/go-tfe").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", "test2json", "-t", binary,
		"-test.v=test2json", "-test.run="+chosen, "-test.parallel=8", "-test.timeout=5m")
	cmd.Dir = strings.TrimSpace(string(home))
	cmd.Env = append(os.Environ(), env...)
	// Failing tests set the exit code, but are judged individually.
	out, err := cmd.Output()
	if len(out) == 0 {
		t.Fatalf("running go-tfe's tests: %v", err)
	}
	got := results{map[string]string{}, map[string]*strings.Builder{}}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil || event.Test == "" {
			continue
		}
		switch event.Action {
		case "output":
			if got.output[event.Test] == nil {
				got.output[event.Test] = &strings.Builder{}
			}
			got.output[event.Test].WriteString(event.Output)
		case "pass", "fail", "skip":
			got.outcome[event.Test] = event.Action
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

// judge fails for every test that failed without an exception, and for every exception
// without a failure.
func judge(t *testing.T, got results, exceptions []exception) {
	t.Helper()
	used := map[string]bool{}
	excused := func(name string) bool {
		for _, e := range exceptions {
			if e.name.MatchString(name) {
				used[e.name.String()] = true
				return true
			}
		}
		return false
	}
	count := map[string]int{}
	for name, outcome := range got.outcome {
		if outcome == "fail" && (excused(name) || onlyThroughParts(got, name, excused)) {
			outcome = "excepted"
		}
		count[outcome]++
		if outcome == "fail" {
			t.Errorf("%s failed:\n%s", name, got.output[name])
		}
	}
	for _, e := range exceptions {
		if !used[e.name.String()] {
			t.Errorf("the exception %s is not needed: %s", e.name, e.reason)
		}
	}
	t.Logf("go-tfe's own tests: %d passed, %d skipped themselves, %d excepted", count["pass"], count["skip"], count["excepted"])
	if count["pass"] < 100 {
		t.Error("too few tests ran: did their names change?")
	}
}

// onlyThroughParts reports whether a test failed only because of excused subtests.
func onlyThroughParts(got results, name string, excused func(string) bool) bool {
	parts := 0
	for part, outcome := range got.outcome {
		if outcome == "fail" && strings.HasPrefix(part, name+"/") {
			if !excused(part) && !onlyThroughParts(got, part, excused) {
				return false
			}
			parts++
		}
	}
	// A failure of the test itself would show in its output.
	return parts > 0 && !strings.Contains(got.output[name].String(), "Error Trace")
}
