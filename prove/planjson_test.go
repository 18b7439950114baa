package prove

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Plans that these tests' configurations cannot make terraform produce.
func TestJudge(t *testing.T) {
	t.Parallel()
	const noop = `{"address":"a.b","mode":"managed","change":{"actions":["no-op"],"before":{"password":"s3cr3t"},"after":{"password":"s3cr3t"}}}`
	const prior = `"prior_state":{"values":{"root_module":{"resources":[{"mode":"managed","values":{"password":"s3cr3t"}},{"mode":"data"}],` +
		`"child_modules":[{"resources":[{"mode":"managed"},{"mode":"managed","deposed_key":"00"}],"child_modules":[{"resources":[{"mode":"managed"}]}]}]}}}`
	plan := func(more string) string {
		return `{"format_version":"1.2","terraform_version":"1.11.4",` + prior + `,"resource_changes":[` + noop + `]` + more + `}`
	}
	change := func(fields string) string {
		return `,"resource_changes":[{"address":"a.b","mode":"managed",` + fields + `}]`
	}
	for _, tt := range []struct {
		does, plan string
		verdict    Verdict
		code       Code
		changes    []Change
	}{
		{"no-op", plan(""), Proven, "", nil},
		{"complete, not applyable", plan(`,"complete":true,"errored":false,"applyable":false`), Proven, "", nil},
		{"reads", plan(change(`"change":{"actions":["read"]}`)), Proven, "", nil},
		{"nulls", plan(`,"output_changes":null,"resource_drift":null,"deferred_changes":null`), Proven, "", nil},
		{"a replacement", plan(change(`"change":{"actions":["delete","create"]},"action_reason":"replace_because_tainted"`)), Changes, "",
			[]Change{{Address: "a.b", Actions: []string{"delete", "create"}, Reason: "replace_because_tainted"}}},
		{"a removal from the state", plan(change(`"change":{"actions":["forget"]}`)), Changes, "", []Change{{Address: "a.b", Actions: []string{"forget"}}}},
		{"a move", plan(change(`"previous_address":"a.c","change":{"actions":["no-op"]}`)), Changes, "",
			[]Change{{Address: "a.b", Actions: []string{"move"}, PreviousAddress: "a.c"}}},
		{"a move to the same address", plan(change(`"previous_address":"a.b","change":{"actions":["no-op"]}`)), Proven, "", nil},
		{"an import", plan(change(`"change":{"actions":["no-op"],"importing":{"id":"i-1"}}`)), Changes, "", []Change{{Address: "a.b", Actions: []string{"import"}}}},
		{"a deposed object", plan(change(`"deposed":"00ff","change":{"actions":["delete"]}`)), Changes, "",
			[]Change{{Address: "a.b (deposed 00ff)", Actions: []string{"delete"}}}},
		{"an output", plan(`,"output_changes":{"o":{"actions":["update"],"before":"s3cr3t","after":"s3cr3t"}}`), Changes, "",
			[]Change{{Address: "output.o", Actions: []string{"update"}}}},
		{"an action", plan(`,"action_invocations":[{"address":"action.x.y"}]`), Changes, "", []Change{{Address: "action.x.y", Actions: []string{"invoke"}}}},
		{"something deferred", plan(`,"deferred_changes":[{"reason":"provider_config_unknown","resource_change":{"address":"a.d","change":{"actions":["create"]}}}]`),
			Unproven, CodeIncomplete, nil},
		{"incomplete", plan(`,"complete":false`), Unproven, CodeIncomplete, nil},
		{"failed", plan(`,"errored":true`), Unproven, CodeRunErrored, nil},
		{"another state", `{"format_version":"1.2","resource_changes":[]}`, Unproven, CodeVacuous, nil},
		{"an older format", strings.Replace(plan(""), "1.2", "0.1", 1), Proven, "", nil},
		{"a newer format", strings.Replace(plan(""), "1.2", "2.0", 1), Unproven, CodePlanFormat, nil},
		{"no format", `{"resource_changes":[]}`, Unproven, CodePlanFormat, nil},
		{"truncated", plan("")[:200], Unproven, CodePlanFormat, nil},
		{"not an object", `[]`, Unproven, CodePlanFormat, nil},
		{"nothing", ``, Unproven, CodePlanFormat, nil},
		{"a change without a type", plan(`,"resource_changes":[{"address":"a.b"}]`), Unproven, CodePlanFormat, nil},
		{"a wrong type", plan(`,"resource_changes":{"s3cr3t":"s3cr3t"}`), Unproven, CodePlanFormat, nil},
		{"a wrong nested type", plan(`,"resource_changes":[{"address":["s3cr3t"]}]`), Unproven, CodePlanFormat, nil},
	} {
		t.Run(tt.does, func(t *testing.T) {
			var r Result
			err := r.judge(strings.NewReader(tt.plan), 3)
			code := Code("")
			if s, ok := err.(*stop); ok {
				r.Verdict, code, r.Message = Unproven, s.code, s.message
			}
			if r.Verdict != tt.verdict || code != tt.code {
				t.Errorf("%s %q (%s), want %s %q", r.Verdict, code, r.Message, tt.verdict, tt.code)
			}
			if diff := cmp.Diff(tt.changes, r.Changes); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if strings.Contains(r.Message, "s3cr3t") {
				t.Error("the result contains a value")
			}
		})
	}
}

// Instances deleted outside of Terraform are drift. They do not make a plan vacuous.
func TestDriftDoesNotMakeAPlanVacuous(t *testing.T) {
	t.Parallel()
	var r Result
	err := r.judge(strings.NewReader(`{"format_version":"1.2","terraform_version":"1.11.4","resource_changes":[],
		"prior_state":{"values":{"root_module":{"resources":[{"mode":"managed"}]}}},
		"resource_drift":[{"address":"a.gone","mode":"managed","change":{"actions":["delete"]}},
			{"address":"a.b","mode":"managed","change":{"actions":["update"],"before":"s3cr3t"}},
			{"address":"a.c","mode":"managed","change":{"actions":["no-op"]}}]}`), 2)
	want := []Change{{Address: "a.gone", Actions: []string{"delete"}}, {Address: "a.b", Actions: []string{"update"}}}
	if diff := cmp.Diff(want, r.Drift); err != nil || r.Verdict != Proven || diff != "" {
		t.Errorf("%s, %v, drift (-want +got):\n%s", r.Verdict, err, diff)
	}
}

func TestReasonsOfFailedPlans(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		log  string
		code Code
		says string
	}{
		{"\x1b[31m╷\x1b[0m\n│ Error: No value for required variable\n│ \n│   on main.tf line 1:\n│ The root module input variable \"region\" is not\n│ set, and has no default value. Use a -var\n│ The root module input variable \"zone\" is not set, and",
			CodeMissingVariable, "region, zone"},
		{"Error: No valid credential sources found", CodeCredentials, "credentials"},
		{"Error: retrieving thing: AccessDenied: password s3cr3t", CodeCredentials, "credentials"},
		{"Error: Failed to query available provider packages", CodeProvider, "provider"},
		{"Error: Unsupported Terraform Core version", CodeRunErrored, "version"},
		{"Error: something with s3cr3t in it", CodeRunErrored, "could not plan"},
		{"╷\n│ Error: Reference to undeclared resource\n│ \n│   on main.tf line 1", CodeRunErrored, `could not plan: "Reference to undeclared resource".`},
		{"Error: creating S3 Bucket (s3cr3t): AlreadyExists", CodeRunErrored, `could not plan: "creating S3 Bucket".`},
		{"Error: Unsupported argument\r\n", CodeRunErrored, `could not plan: "Unsupported argument".`},
		{"Error: Invalid legacy provider address", CodeRunErrored, "terraform state replace-provider"},
		{"", CodeRunErrored, "could not plan"},
	} {
		code, says := reasonOf(tt.log, false)
		if code != tt.code || !strings.Contains(says, tt.says) || strings.Contains(says, "s3cr3t") {
			t.Errorf("%q: %s, %q", tt.log, code, says)
		}
	}
}
