package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"tfhaul/backend"
	"tfhaul/lockwait"
	"tfhaul/plainwords"
)

// A stop ends a move with a code and a message.
type stop struct {
	code    Code
	message string
	// unproven says that what the workspace holds now is not known, which decides
	// what becomes of the lock.
	unproven bool
	// sourceDown says that the source could not be read because its server is out of
	// reach or out of order, or does not accept us: others there will fail, too.
	sourceDown bool
}

func (s *stop) Error() string { return s.message }

// sayf is fmt.Sprintf for messages that call the state at the target a workspace. Kinds
// without workspaces have another noun.
func (e *Engine) sayf(format string, args ...any) string {
	traits := e.Target.Traits()
	if traits.Workspaces {
		return fmt.Sprintf(format, args...)
	}
	return fmt.Sprintf(withNoun(traits.Noun, format), args...)
}

// withNoun replaces the words for workspaces in a text.
func withNoun(noun, text string) string {
	noun = cmp.Or(noun, "state")
	article := "a "
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		article = "an "
	}
	return strings.NewReplacer(
		"a workspace", article+noun, "workspace", noun, "Workspace", strings.ToUpper(noun[:1])+noun[1:],
		"state version", "version", "the token", "the credentials", "The token", "The credentials",
		"the server", "the target", "The server", "The target",
	).Replace(text)
}

// stopf returns a stop with a message as sayf makes it.
func (e *Engine) stopf(code Code, format string, args ...any) *stop {
	return &stop{code: code, message: e.sayf(format, args...)}
}

// targetCodes says what an answer of the target means for a move.
var targetCodes = map[backend.Code]Code{
	backend.Unauthorized:       CodeUnauthorized,
	backend.ForbiddenOrMissing: CodeForbiddenOrMissing,
	backend.NotLocked:          CodeLockLost,
	backend.LockedByOther:      CodeLockLost,
	backend.Diverged:           CodeDiverged,
	backend.Unrelated:          CodeUnrelated,
	backend.Stale:              CodeStale,
	backend.RateLimited:        CodeRateLimited,
	backend.Unreachable:        CodeUnreachable,
	backend.Ambiguous:          CodeServerRefused,
	backend.NotCreatable:       CodeNotCreatable,
	backend.NotRemovable:       CodeNotRemovable,
	backend.OrganizationToken:  CodeForbiddenOrMissing,
	backend.Changed:            CodeTargetChanged,
	backend.NoHistory:          CodeNoHistory,
	backend.NoContainer:        CodeForbiddenOrMissing,
	backend.AccessDenied:       CodeForbiddenOrMissing,
	backend.KeyDenied:          CodeForbiddenOrMissing,
	backend.NoCredentials:      CodeUnauthorized,
	backend.BadCredentials:     CodeUnauthorized,
	backend.ExpiredCredentials: CodeUnauthorized,
}

// advice says what to do about a code where the error's own text does not.
var advice = map[Code]string{
	CodeUnauthorized:       "Log in again (terraform login), or set TFE_TOKEN or --token-file to a valid token.",
	CodeForbiddenOrMissing: "Check the name and the token's permissions. Organization tokens cannot write states.",
	CodeRateLimited:        "Other clients may share the rate limit. Try again later, or lower --parallelism.",
	CodeUnreachable:        "Check the host name, the network, the proxy and the certificate authorities (--ca-file).",
	CodeLockLost:           "tfhaul lost the workspace's lock during the move. Find out who released it, then run the move again.",
	CodeLockLeft:           "Unlock with tfhaul unlock JOURNAL, or resume the haul.",
	CodeServerRefused:      "Nothing was stored. Try again. If the error persists, ask the server's administrators.",
}

// malformedAdvice is the advice for a request that the server rejects as invalid, which
// repeating does not change.
const malformedAdvice = "Nothing was stored. Correct what the server names; the same request would be rejected again."

// explain turns any error that ended a move into a stop.
func (x *execution) explain(ctx context.Context, err error) *stop {
	if abandoned, ok := errors.AsType[*lockwait.AbandonedError](err); ok {
		free := x.leaveLocked()
		x.result.cause = "this haul may hold the lock: the response to the lock request was lost, and tfhaul cannot read who holds the lock" + answerIn(err)
		return x.stopf(CodeLockLeft, "This haul may have locked the workspace: %v. Check, and if so, unlock it: %s", abandoned, free)
	}
	// A move that was being finished when ctx ended failed for its own reason.
	given := !x.finishing || errors.Is(err, context.Canceled)
	if ended, ok := errors.AsType[*endedError](context.Cause(ctx)); ok && given {
		return &stop{code: CodeNotAttempted, message: plainwords.Sentence(ended.Error())}
	}
	if ctx.Err() != nil && given && x.follows != nil {
		return x.stopf(CodeInterrupted, "Interrupted. The older versions were moved, and the current one was not. To continue, run the same command with the same journal.")
	}
	if ctx.Err() != nil && given {
		return x.stopf(CodeInterrupted, "Interrupted. The workspace is unchanged.")
	}
	if changed, ok := errors.AsType[*backend.ChangedError](err); ok {
		return &stop{code: CodeSourceChanged, message: "Nothing was sent: " + plainwords.Sentence(changed.Error())}
	}
	if body, ok := errors.AsType[*backend.SourceError](err); ok {
		if body.Changed {
			return x.stopf(CodeSourceChanged, "The source changed while it was being sent, so nothing was stored. Stop the process that writes to it, then run the move again.")
		}
		return &stop{code: CodeUnreadable, message: plainwords.Sentence(body.Error())}
	}
	if answer, ok := errors.AsType[*backend.Error](err); ok {
		if _, refused := answerToRelation[answer.Code]; refused && x.writer != nil {
			return x.refusedByServer(ctx, answer)
		}
		code := cmp.Or(targetCodes[answer.Code], CodeServerRefused)
		x.result.cause = answer.Answer
		switch {
		case answer.Code == backend.Malformed:
			x.result.cause, x.result.advised = plainwords.Sentence(answer.Answer)+" "+malformedAdvice, true
			return &stop{code: code, message: plainwords.Sentence(answer.Message) + " " + malformedAdvice}
		case code == CodeTargetChanged:
			return x.stopf(code, "Another process wrote to the workspace while tfhaul held its lock: %s Nothing was stored. Stop that process, then run the move again.", plainwords.Sentence(answer.Message))
		case answer.Err == nil, backend.Untrusted(err), !x.Target.Traits().Workspaces: // its kind has said all of it
			x.result.advised = true
			return &stop{code: code, message: plainwords.Sentence(answer.Message)}
		}
		return &stop{code: code, message: strings.TrimSpace(plainwords.Sentence(answer.Message) + " " + advice[code])}
	}
	return &stop{code: CodeServerRefused, message: plainwords.Sentence(err.Error())}
}

// answerIn is what the server answered, without the names of what was asked, behind
// a colon; "" where an error holds no answer.
func answerIn(err error) string {
	answer, ok := errors.AsType[*backend.Error](err)
	if !ok || answer.Answer == "" {
		return ""
	}
	return ": " + answer.Answer
}
