package statefile

import (
	"bytes"
	"regexp"
)

// A credential is a kind of secret text.
type credential struct {
	name string
	// shape recognizes it. If it has a group, the group's text must not be a placeholder.
	shape *regexp.Regexp
	// signs are texts of which a match contains at least one. They are searched first
	// because that is much faster.
	signs []string
}

// credentials can be recognized without knowing what they are for. Random text alone is
// not enough: identifiers and digests look like passwords. Most shapes are documented by
// the issuers so that scanners can find them.
var credentials = []credential{
	shaped("private key", `-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-[0-9]:`, "PRIVATE KEY", "PuTTY"),
	// The same in base64: "-----BEGIN " with PRIVATE, RSA, EC, DSA, OPENSSH or ENCRYPTED.
	shaped("private key", `LS0tLS1CRUdJTi(?:BQUklWQVRF|BSU0EgUFJJ|BFQyBQUklW|BEU0EgUFJJ|BPUEVOU1NI|BFTkNSWVBU)`, "LS0tLS1CRUdJTi"),
	shaped("private key", `\bAGE-SECRET-KEY-1[A-Z0-9]{40,}`, "AGE-SECRET-KEY"),
	shaped("private key", `(?m)^\s*PrivateKey\s*=\s*[A-Za-z0-9+/]{43}=`, "PrivateKey"),
	shaped("AWS access key", `\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`, "AKIA", "ASIA"),
	shaped("GitHub token", `\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})`, "gh", "github_pat_"),
	shaped("GitLab token", `\bgl(?:pat|ptt|dt|rt|rtr|cbt|agent|soat|oas|ft|imt|ffct)-[A-Za-z0-9_-]{20,}|\bGR1348941[A-Za-z0-9_-]{20}`, "gl", "GR1348941"),
	shaped("Slack token", `\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-z0-9]{16,}`, "xox", "xapp-"),
	shaped("webhook", `hooks\.slack\.com/services/T[A-Za-z0-9]+/B[A-Za-z0-9]+/[A-Za-z0-9]+`, "hooks.slack.com"),
	shaped("webhook", `\bdiscord(?:app)?\.com/api/webhooks/[0-9]+/[A-Za-z0-9_-]{40,}`, "/webhooks/"),
	shaped("webhook", `\.webhook\.office\.com/webhookb2/[^\s/]+/IncomingWebhook/[0-9a-f]{32}/`, "webhook.office.com"),
	shaped("Google API key", `\bAIza[A-Za-z0-9_-]{35}\b`, "AIza"),
	shaped("Google OAuth secret", `\bGOCSPX-[A-Za-z0-9_-]{28}|\bya29\.[A-Za-z0-9_-]{30,}`, "GOCSPX-", "ya29."),
	// {"type": "service_account" in base64, in any of the usual layouts, as in
	// google_service_account_key.
	shaped("Google service account key", `\b(?:ewogICJ0eXBlIjogInNlcnZpY2VfYWNjb3VudC|eyJ0eXBlIjogInNlcnZpY2VfYWNjb3VudC|eyJ0eXBlIjoic2VydmljZV9hY2NvdW50I)`, "ewogICJ0", "eyJ0eXBl"),
	shaped("Stripe key", `\b[rs]k_live_[A-Za-z0-9]{16,}|\bwhsec_[A-Za-z0-9+/]{24,}`, "k_live_", "whsec_"),
	shaped("HCP Terraform token", `\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}`, ".atlasv1."),
	shaped("Vault token", `\bhv[sbr]\.[A-Za-z0-9_-]{24,}|^s\.[A-Za-z0-9]{24}$`, "hvs.", "hvb.", "hvr.", "s."),
	shaped("npm token", `\bnpm_[A-Za-z0-9]{36}\b`, "npm_"),
	shaped("PyPI token", `\bpypi-AgE[A-Za-z0-9_-]{40,}`, "pypi-AgE"),
	shaped("Docker Hub token", `\bdckr_[op]at_[A-Za-z0-9_-]{27,}`, "dckr_"),
	shaped("DigitalOcean token", `\bdo[opr]_v1_[0-9a-f]{64}\b`, "_v1_"),
	shaped("Databricks token", `\bdapi[0-9a-f]{32}\b`, "dapi"),
	shaped("Grafana token", `\bglsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}\b|\bglc_eyJ[A-Za-z0-9+/=]{32,}`, "glsa_", "glc_"),
	shaped("New Relic key", `\bNRAK-[A-Z0-9]{27}\b`, "NRAK-"),
	shaped("SendGrid key", `\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b`, "SG."),
	shaped("Shopify token", `\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b`, "shp"),
	shaped("Heroku key", `\bHRKU-[0-9A-Za-z_-]{36,}`, "HRKU-"),
	shaped("Hugging Face token", `\bhf_[A-Za-z]{34}\b`, "hf_"),
	shaped("Linear key", `\blin_api_[A-Za-z0-9]{40}\b`, "lin_api_"),
	shaped("OpenAI key", `\bsk-(?:[a-z]+-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}`, "T3BlbkFJ"),
	shaped("Anthropic key", `\bsk-ant-[a-z0-9]+-[A-Za-z0-9_-]{40,}`, "sk-ant-"),
	shaped("JSON web token", `\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}`, ".eyJ"),
	shaped("Azure storage key", `(?:AccountKey|AccessKey)=[A-Za-z0-9+/]{40,}={0,2}`, "AccountKey=", "AccessKey="),
	shaped("Azure shared access signature", `[?&;](?:amp;)?sig=[A-Za-z0-9%+/_-]{40,}`, "sig="),
	shaped("Azure client secret", `(?:^|[^A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?:[^A-Za-z0-9_~.-]|$)`, "Q~"),
	shaped("authorization header", `(?i)\bauthorization["']?\s*[:=]\s*["']?(?:basic|bearer|token)\s+([A-Za-z0-9+/=._~-]{8,})`, " ", "\t", "\n"),
	// kubeadm join … --token T, docker swarm join --token T, K3S_TOKEN=T, mysql --password=T.
	shaped("secret in a command", `(?:--(?:token|password|secret-key|api-key|access-token)[= \t]+|\b[A-Z0-9_]*_(?:TOKEN|PASSWORD|SECRET|SECRET_KEY|API_KEY)=)["']?([^\s"'/][^\s"']{7,})`,
		"--token", "--password", "--secret-key", "--api-key", "--access-token", "_TOKEN", "_PASSWORD", "_SECRET", "_API_KEY"),
	shaped("kubeconfig", `(?s)\bkind:\s*"?Config\b.*\b(?:token|password)"?:\s*"?([^\s",]{8,})`, "Config"),
	shaped("kubeconfig", `(?s)\busers:\s.*\buser:\s+(?:.*\s)?(?:token|password):\s*"?([^\s",]{8,})`, "users:"),
	shaped("password in a connection string", `(?i)\b(?:password|pwd)=([^;&\s]{4,})`, "="),
	shaped("password in a connection string", `\b[A-Za-z0-9_.-]+:([^\s@/]{3,})@(?:tcp|unix)\(`, "@tcp(", "@unix("),
	shaped("password in a URL", `\b[a-z][a-z0-9+.-]*://[^\s/?#:@]*:([^\s/?#@]{3,})@[^\s/@]`, "://"),
}

func shaped(name, shape string, signs ...string) credential {
	return credential{name, regexp.MustCompile(shape), signs}
}

// placeholder matches what stands in for a password or replaced one.
var placeholder = regexp.MustCompile(`^["']?(?:\$\{[^}]*\}?|\$\([^)]*\)?|\$[A-Za-z_][A-Za-z0-9_]*|<[^>]*>|\{\{?[^}]*\}?\}?|%[A-Za-z_]+%?|\[[^\]]*\]|\(.*\)|\*+|[xX]{3,}|\.{3,}|(?i:redacted|masked|hidden|removed))["',;]*$`)

// secretShape returns the kind of credential that a text looks like, or "".
func secretShape(text []byte) string {
	// The shortest credential is longer.
	if len(text) < 8 {
		return ""
	}
	for i := range credentials {
		if c := &credentials[i]; c.maybeIn(text) && c.in(text) {
			return c.name
		}
	}
	if isAWSSecretKey(text) {
		return "AWS secret key"
	}
	return ""
}

func (c *credential) maybeIn(text []byte) bool {
	for _, sign := range c.signs {
		if bytes.Contains(text, []byte(sign)) {
			return true
		}
	}
	return false
}

func (c *credential) in(text []byte) bool {
	if c.shape.NumSubexp() == 0 {
		return c.shape.Match(text)
	}
	for len(text) > 0 {
		at := c.shape.FindSubmatchIndex(text)
		if at == nil {
			return false
		}
		value := text[at[2]:at[3]]
		// The shell's PWD is a path.
		path := value[0] == '/' && bytes.HasPrefix(text[at[0]:], []byte("PWD="))
		if !path && !placeholder.Match(value) {
			return true
		}
		text = text[at[3]:]
	}
	return false
}

// awsSecretKeyLength is the length of an AWS secret access key, in base64 characters.
const awsSecretKeyLength = 40

// isAWSSecretKey reports whether a text is an AWS secret access key, alone or after its
// key ID and a separator. These keys have no prefix: they are recognized by a mix of
// upper case, lower case and digits that only random text has. Digests have letters of
// one case.
func isAWSSecretKey(text []byte) bool {
	text = bytes.TrimSpace(text)
	if i := bytes.LastIndexAny(text, ":,;= \t\n"); i >= 0 {
		text = text[i+1:]
	}
	if len(text) != awsSecretKeyLength {
		return false
	}
	const lower, upper, digit, sign = 0, 1, 2, 3
	var classes [4]int
	changes, capitals, before := 0, 0, -1
	for _, c := range text {
		class := sign
		switch {
		case 'a' <= c && c <= 'z':
			class = lower
		case 'A' <= c && c <= 'Z':
			class = upper
		case '0' <= c && c <= '9':
			class = digit
		case c != '/' && c != '+':
			return false
		}
		classes[class]++
		if class != before {
			changes++
		} else if class == upper {
			capitals++
		}
		before = class
	}
	// Of 40 random characters, 16 are lower case, 16 are upper case and 6 are digits. 25
	// are of another class than the one before, and 6 are upper case after upper case,
	// which never happens InNamesLikeThis.
	return classes[lower] >= 5 && classes[upper] >= 5 && classes[digit] >= 1 && classes[sign] <= 5 && changes >= 17 && capitals >= 2
}
