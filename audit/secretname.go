package audit

import (
	"slices"
	"strings"

	"tfhaul/statefile"
)

// Words of names, as split by nameWords. Outputs are named in English order: the thing
// comes last, after what it belongs to. So db_user_password is a password, and
// password_policy is not.
var (
	// secretWords are secrets.
	secretWords = wordSet(`password passwords passwd passphrase passphrases pwd pwds pw pws passcode token tokens credential credentials creds
		kubeconfig kubeconfigs talosconfig talosconfigs htpasswd bearer dsn psk psks sas
		apikey apikeys accesskey secretkey privatekey clientsecret authtoken accesstoken connectionstring`)
	// keyWords make a key that follows them a secret, even with otherWords in between.
	// ownWords do the same for "secret".
	keyWords = wordSet(`api access private secret signing encryption master account storage auth ssh admin license shared preshared hmac jwt
		cookie session webhook server client application app subscription unseal recovery instrumentation gossip encrypt`)
	otherWords = wordSet(`primary secondary rsa ecdsa ed25519 tls pem`)
	ownWords   = wordSet(`client webhook shared api app application auth session cookie jwt signing hmac oauth oauth2 user access consumer bot`)
	// openKeyWords are words for keys that are not secret, however random: of tables,
	// caches and objects, and public ones.
	openKeyWords = wordSet(`partition sort hash range row table foreign routing cache object artifact s3 group ring pgp gpg site publishable pair
		idempotency dedup column index state lock ssl`)
	// aboutWords after a secret name a fact about it, or its location.
	aboutWords = wordSet(`id ids arn arns name names path paths uri uris url urls version versions versionless ttl length policy policies rotation expiry
		expires expiration enabled disabled count alias endpoint endpoints issuer audience type kind namespace prefix suffix region group groups role roles
		user users username usernames fingerprint public thumbprint ref refs reference references location bucket file files filename created
		updated date algorithm size age days hours minutes seconds status address store manager provider resource mount engine scope scopes
		command commands cmd instructions instruction hint help note message description checksum hash sha256 sha1 md5 reset change required
		accessor accessors recipients owner owners admins email label labels tags annotations container host hostname port
		certificate certificates authority ssm parameter parameters secretsmanager vault kv link links domain domains record records header headers
		creator reviewer member members sa validity unit units lifetime last used per title replication purpose state metadata settings options
		rule rules key keys attribute attributes column format pattern regex template claim claims`)
	// openWords make the thing public wherever they stand.
	openWords = wordSet(`public encrypted hashed hash authorized kms dkim`)
)

func wordSet(words string) map[string]bool {
	s := map[string]bool{}
	for _, w := range strings.Fields(words) {
		s[w] = true
	}
	return s
}

// nameWords splits db_password, DB-Password and dbPassword into words.
func nameWords(name string) []string {
	var words []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			words = append(words, strings.ToLower(word.String()))
			word.Reset()
		}
	}
	letter := func(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
	upper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	for i := range len(name) {
		c := name[i]
		switch {
		case !letter(c) && (c < '0' || c > '9'):
			flush()
			continue
		case i > 0 && upper(c) && letter(name[i-1]) && !upper(name[i-1]):
			flush() // dbPassword
		case i > 0 && i+1 < len(name) && upper(c) && upper(name[i-1]) && letter(name[i+1]) && !upper(name[i+1]):
			flush() // DBPassword
		}
		word.WriteByte(c)
	}
	flush()
	return words
}

// SecretName reports whether the name of an attribute or an output suggests that its value
// is, holds, or describes a secret.
func SecretName(name string) bool { return nameKind([]byte(name)) != statefile.NameNeutral }

// nameKind returns what the name of an output, or of a member of its value, implies about
// the content.
func nameKind(name []byte) statefile.NameKind {
	const most = 200 // maximum number of bytes checked
	words := nameWords(string(name[:min(most, len(name))]))
	if slices.ContainsFunc(words, func(w string) bool { return openWords[w] }) {
		if slices.ContainsFunc(words, func(w string) bool { return secretWords[w] || w == "key" || w == "keys" }) {
			return statefile.NameAbout
		}
		return statefile.NameNeutral
	}
	kind, at := statefile.NameNeutral, 0
	for i := 0; i < len(words); {
		found, n := secretAt(words, i)
		if found != statefile.NameNeutral {
			kind, at = found, i+n
		}
		i += max(1, n)
	}
	if kind != statefile.NameNeutral && slices.ContainsFunc(words[at:], func(w string) bool { return aboutWords[w] }) {
		return statefile.NameAbout
	}
	return kind
}

// secretAt returns the kind of secret that the words from i on name, and how many words
// do.
func secretAt(words []string, i int) (kind statefile.NameKind, n int) {
	word, last := strings.TrimRight(words[i], "0123456789"), i == len(words)-1
	before, after := "", ""
	if i > 0 {
		before = words[i-1]
	}
	if !last {
		after = words[i+1]
	}
	switch word {
	case "pass":
		if last { // bypass is one word, pass_through is two
			return statefile.NameSecret, 1
		}
	case "secret", "secrets":
		switch {
		case after == "id" || after == "ids": // Vault's and Nomad's are UUIDs and secret; others are names
			return statefile.NameKey, 2
		case ownWords[before]:
			return statefile.NameSecret, 1
		}
		return statefile.NameContainer, 1
	case "key", "keys":
		return keyKind(words[:i]), 1
	case "config":
		if before == "kube" || before == "talos" {
			return statefile.NameSecret, 1
		}
	case "string", "strings", "str":
		if before == "connection" || before == "conn" || before == "auth" {
			return statefile.NameSecret, 1
		}
	case "auth":
		if last && before == "basic" {
			return statefile.NameSecret, 1
		}
	case "cookie", "cookies", "seed", "seeds":
		if last {
			return statefile.NameKey, 1
		}
	}
	if secretWords[word] || strings.HasSuffix(word, "password") || strings.HasSuffix(word, "passwd") {
		return statefile.NameSecret, 1
	}
	return statefile.NameNeutral, 0
}

// keyKind returns the kind of a key that follows these words.
func keyKind(words []string) statefile.NameKind {
	i := len(words) - 1
	for i >= 0 && otherWords[words[i]] {
		i--
	}
	switch {
	case slices.ContainsFunc(words, func(w string) bool { return openKeyWords[w] }):
		return statefile.NameNeutral
	case i >= 0 && keyWords[words[i]]:
		return statefile.NameSecret
	}
	return statefile.NameKey
}
