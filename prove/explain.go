package prove

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tfhaul/backend/tfe"
)

// explainEnd returns why a run ended too early.
func (x *proof) explainEnd(ctx context.Context, r *tfe.Run) error {
	switch r.Status {
	case "canceled", "force_canceled", "discarded":
		return stopf(CodeRunCanceled, "Another user ended run %s (%s).", r.ID, r.Status)
	case "errored":
		return x.explainLog(r.ID, x.readLog(ctx, r))
	}
	return stopf(CodeRunErrored, "Run %s ended with status %s.", r.ID, r.Status)
}

// maxLog limits how much of a log is searched for the reason of a failure.
const maxLog = 4 << 20

// readLog returns as much of a plan's log as it can read.
func (x *proof) readLog(ctx context.Context, r *tfe.Run) string {
	if r.Plan == "" {
		return ""
	}
	plan, err := x.Target.Plan(ctx, r.Plan)
	if err != nil {
		return ""
	}
	var log strings.Builder
	for log.Len() < maxLog {
		part, err := x.Target.PlanLog(ctx, plan, int64(log.Len()))
		if err != nil || len(part) == 0 {
			break
		}
		log.Write(part)
	}
	return log.String()
}

// explainLog derives the reason of a failed plan from its log. It does not quote the log,
// which may contain values.
func (x *proof) explainLog(run, log string) error {
	code, message := reasonOf(log, x.result.Local)
	if run != "" {
		message = "Run " + run + " failed: " + message + " See its log for details (--logs)."
	} else {
		message = "The plan failed: " + message + " To see Terraform's output, use tfhaul prove --local --logs."
	}
	return &stop{code, message}
}

var (
	colors = regexp.MustCompile(`\x1b\[[0-9;]*m`)
	// `The root module input variable "region" is not set, and has no default value.`
	unsetVariable = regexp.MustCompile(`input\s+variable\s+"([\pL_][\pL\pN_-]*)"\s+is\s+not\s+set`)
	// The title of an error, up to where a value may start: "creating S3 Bucket
	// (acme-logs): …".
	errorTitle = regexp.MustCompile(`(?m)^\s*Error: ([^:("'=\r\n]+)`)
	// A title that consists of words.
	plainTitle = regexp.MustCompile(`^(?:(?:[A-Z]?[a-z]+|[A-Z][A-Z0-9]{0,4})(?:[ ,-]+|$))+$`)
)

// failures maps texts in a log to reasons, the most specific first. The place of variables
// and credentials is written %s.
var failures = []struct {
	text *regexp.Regexp
	code Code
	says string
}{
	{regexp.MustCompile(`(?i)no value for required variable`), CodeMissingVariable,
		"a variable has no value in %s. Set it there."},
	{regexp.MustCompile(`(?i)does not have the expected content`), CodeRunErrored,
		"the digest in the DynamoDB table is not that of the state, so Terraform does not read it. Write the state again, or correct the digest."},
	{regexp.MustCompile(`(?i)certificate signed by unknown authority`), CodeRunErrored,
		"Terraform does not trust a server's certificate. Name its authority with AWS_CA_BUNDLE for a bucket, or with SSL_CERT_FILE."},
	{regexp.MustCompile(`(?i)failed to query available provider packages|failed to install provider|provider registry|could not retrieve the list of available versions|inconsistent dependency lock file|missing required provider|module not installed|failed to download module|unreadable module directory`), CodeProvider,
		"a provider or a module could not be installed."},
	{regexp.MustCompile(`(?i)no valid credential|could not find default credentials|unable to locate credentials|invalid credentials|failed to refresh cached credentials|error configuring .*(credential|authenti)|building .*authoriz|unauthenticated|unauthorized|accessdenied|access denied|expiredtoken|invalidclienttokenid|status ?code:? 40[13]`), CodeCredentials,
		"a provider or the backend has no credentials, or they do not suffice. Add them to %s."},
	{regexp.MustCompile(`(?i)no configuration files|has no directory|working directory`), CodeConfiguration,
		"there are no configuration files in the directory where Terraform runs."},
	{regexp.MustCompile(`(?i)invalid legacy provider address`), CodeRunErrored,
		`the configuration or the state names a provider without a namespace ("Invalid legacy provider address"). Repair the state with "terraform state replace-provider".`},
	{regexp.MustCompile(`(?i)unsupported terraform core version|state snapshot was created by terraform`), CodeRunErrored,
		"this Terraform version cannot use this configuration or state. Use another version."},
}

// WithoutColors removes the colors that Terraform gives its logs.
func WithoutColors(log string) string { return colors.ReplaceAllString(log, "") }

// reasonOf derives the reason of a failed plan from its log.
func reasonOf(log string, local bool) (Code, string) {
	where, setOne, setAll := "the workspace", "Set it in the workspace.", "Set them in the workspace."
	if local {
		where, setOne, setAll = "the environment", "Set it with TF_VAR_<name>, or name its file with --var-file.", "Set them with TF_VAR_<name>, or name their file with --var-file."
	}
	log = WithoutColors(log)
	// Terraform draws a frame around messages, and wraps their lines.
	log = strings.NewReplacer("│", " ", "╷", " ", "╵", " ").Replace(log)
	var names []string
	for _, m := range unsetVariable.FindAllStringSubmatch(log, -1) {
		if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	if len(names) > 0 {
		if len(names) == 1 {
			return CodeMissingVariable, "the variable " + names[0] + " has no value. " + strings.Replace(setOne, "<name>", names[0], 1)
		}
		return CodeMissingVariable, "the variables " + strings.Join(names, ", ") + " have no value. " + setAll
	}
	for _, f := range failures {
		if f.text.MatchString(log) {
			return f.code, strings.ReplaceAll(f.says, "%s", where)
		}
	}
	if e := errorTitle.FindStringSubmatch(log); e != nil {
		if title := strings.TrimRight(e[1], " ."); plainTitle.MatchString(title) {
			return CodeRunErrored, fmt.Sprintf(`Terraform could not plan: "%s".`, title)
		}
	}
	return CodeRunErrored, "Terraform could not plan."
}
