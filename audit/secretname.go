package audit

import (
	"slices"
	"strings"
)

// The words of names, as nameWords parts them. Outputs are named as English names
// things: what something is comes last, and what it is of before it. So
// db_user_password is a password, and password_policy is none.
var (
	// secretWords are secret things.
	secretWords = wordSet(`password passwords passwd passphrase passphrases pwd passcode secret secrets token tokens credential credentials creds
		kubeconfig kubeconfigs htpasswd bearer dsn psk psks sas
		apikey apikeys accesskey secretkey privatekey clientsecret authtoken accesstoken connectionstring`)
	// keyWords make a secret of a key that follows them, and otherWords do not stand in
	// the way of that.
	keyWords = wordSet(`api access private secret signing encryption master account storage auth ssh admin license shared preshared hmac jwt
		cookie session webhook server client application app subscription`)
	otherWords = wordSet(`primary secondary rsa ecdsa ed25519 tls pem`)
	// aboutWords behind a secret thing name what is known of it, or where it is.
	aboutWords = wordSet(`id ids arn arns name names path paths uri uris url urls version versions ttl length policy policies rotation expiry expires
		expiration enabled count alias endpoint endpoints issuer audience type kind namespace prefix suffix region group groups role roles
		user users username usernames fingerprint public thumbprint ref refs reference references location bucket file files filename created
		updated date algorithm size age days hours minutes seconds status address store manager provider resource mount engine scope scopes
		command commands cmd instructions instruction hint help note message description checksum hash sha256 sha1 md5 reset change required
		accessor recipients owner owners admins email label labels tags annotations container host hostname port
		certificate certificates authority`)
	// openWords make a thing known to all wherever they stand.
	openWords = wordSet(`public encrypted hashed hash authorized kms`)
)

func wordSet(words string) map[string]bool {
	s := map[string]bool{}
	for _, w := range strings.Fields(words) {
		s[w] = true
	}
	return s
}

// nameWords are the words of db_password, DB-Password and dbPassword.
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

// namesSecret reports whether something of this name is likely a secret.
func namesSecret(name string) bool {
	words := nameWords(name)
	if slices.ContainsFunc(words, func(w string) bool { return openWords[w] }) {
		return false
	}
	secret := -1
	for i, word := range words {
		if isSecretWord(words, i, strings.TrimRight(word, "0123456789")) {
			secret = i
		}
	}
	return secret >= 0 && !slices.ContainsFunc(words[secret+1:], func(w string) bool { return aboutWords[w] })
}

// isSecretWord reports whether the word at i, without the digits at its end, is a secret thing.
func isSecretWord(words []string, i int, word string) bool {
	last := i == len(words)-1
	switch word {
	case "pass":
		return last // bypass is one word, pass_through two
	case "key", "keys":
		for i--; i >= 0 && otherWords[words[i]]; i-- {
		}
		return i >= 0 && keyWords[words[i]]
	case "config":
		return i > 0 && words[i-1] == "kube"
	case "string", "strings", "str":
		return i > 0 && (words[i-1] == "connection" || words[i-1] == "conn")
	}
	return secretWords[word] || strings.HasSuffix(word, "password") || strings.HasSuffix(word, "passwd")
}
