package statefile

import (
	"bytes"
	"regexp"
)

// references are texts that say where a secret is, how to get it, or something about it,
// without being one.
var references = regexp.MustCompile(`(?s)^\s*(?:` +
	// Cloud identities: ARNs, Azure and Google resources, IAM members, aliases.
	`arn:[a-z-]+:.*|/subscriptions/.*|(?:projects|organizations|folders)/[^/\s]+/.*|//[a-z]+\.googleapis\.com/.*|ocid1\..*|alias/.*|` +
	`(?:serviceAccount|user|group|domain|principal|principalSet):[^\s]+|` +
	`(?:vpc|subnet|sg|key|i|eni|vol|snap|ami|fsap|fs)-[0-9a-f]{8,17}|` +
	// Addresses. A URL with a password or a signature has a shape of its own.
	`https?://[^\s?#@]*|[A-Za-z0-9_.+-]+@[A-Za-z0-9.-]+\.[a-z]{2,}|` +
	// References that secret managers' tools accept.
	`(?:op|vault|ssm|secretsmanager|keybase|secretref|awssm|gcpsm|akv):[^\s]+|` +
	`\{\{\s*resolve:.*\}\}|@Microsoft\.KeyVault\(.*\)|` +
	// A command that fetches the secret.
	`(?:aws|az|gcloud|kubectl|oc|terraform|tofu|vault|op|gh|glab|doctl|helm|ssh|echo|cat|curl|export|eksctl|keybase|sudo|base64)\s.*|` +
	// Public keys and certificates.
	`(?:ssh-|ecdsa-|sk-ssh-)[a-z0-9@.-]+\s.*|-----BEGIN (?:[A-Z0-9]+ )*(?:PUBLIC KEY|CERTIFICATE|CERTIFICATE REQUEST)(?: BLOCK)?-----.*|` +
	// Settings, units, dates and times.
	`(?i:true|false|yes|no|on|off|none|null|n/a|enabled|disabled|required|optional|active|inactive|pending|automatic|auto|manual|default|` +
	`seconds|minutes|hours|days|weeks|months|years|string|securestring|bearer|basic)|` +
	`\d{4}-\d\d-\d\d(?:[T ][0-9:.]+(?:Z|[+-]\d\d:\d\d)?)?|P(?:\d+[YMWD])*(?:T(?:\d+[HMS])+)?|\d+(?:ms|s|m|h|d)` +
	`)\s*$`)

// isReference reports whether a text only refers to a secret, or is a placeholder for
// one.
func isReference(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) == 0 || references.Match(text) || placeholder.Match(text) || isPath(text)
}

// isPath reports whether a text is a path made of names.
func isPath(text []byte) bool {
	if !bytes.Contains(text, []byte{'/'}) {
		return false
	}
	names := 0
	for element := range bytes.SplitSeq(text, []byte{'/'}) {
		switch {
		case len(element) == 0:
		case !pathElement.Match(element) || isRandom(element) || capitals(element):
			return false
		default:
			names++
		}
	}
	return names > 0
}

var pathElement = regexp.MustCompile(`^\.{0,2}[A-Za-z0-9_@:.~-]*$`)

// capitals reports whether upper case follows lower case more often than in
// NamesLikeThis.
func capitals(text []byte) bool {
	changes := 0
	for i := 1; i < len(text); i++ {
		if isUpper(text[i]) && !isUpper(text[i-1]) && text[i-1] != '-' && text[i-1] != '_' {
			changes++
		}
	}
	return changes > 2
}

// isPlainName reports whether a text is a name: words in one case, joined by punctuation.
func isPlainName(text []byte) bool { return nameText.Match(bytes.TrimSpace(text)) && !isRandom(text) }

var nameText = regexp.MustCompile(`^(?:[a-z][a-z0-9]*(?:[-_.:][a-z0-9]+)*|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)$`)

// shortestRandom is the minimum length of a text that may be random, in characters.
const shortestRandom = 16

// isRandom reports whether a text looks generated: long, without spaces, with letters and
// digits mixed as in no name.
func isRandom(text []byte) bool {
	if len(text) < shortestRandom || bytes.ContainsAny(text, " \t\n") {
		return false
	}
	digits, letters, changes := 0, 0, 0
	for i, c := range text {
		switch {
		case isDigit(c):
			digits++
		case isUpper(c) || 'a' <= c && c <= 'z':
			letters++
		}
		if i > 0 && isDigit(c) != isDigit(text[i-1]) {
			changes++
		}
	}
	return digits >= 2 && letters >= 4 && changes >= 4 || letters >= shortestRandom && capitals(text) && digits >= 1
}

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
