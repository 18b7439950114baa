package tfesim

import "crypto/rand"

const idAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz123456789"

// newID makes an id as the API's look: a prefix and 16 letters and digits.
func newID(prefix string) string {
	return prefix + "-" + randomText(16)
}

func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = idAlphabet[int(b[i])%len(idAlphabet)]
	}
	return string(b)
}

// newUUID makes a random UUID, the form of a team's external id.
func newUUID() string {
	const digits = "0123456789abcdef"
	b := make([]byte, 36)
	rand.Read(b)
	for i := range b {
		switch i {
		case 8, 13, 18, 23:
			b[i] = '-'
		case 14:
			b[i] = '4'
		default:
			b[i] = digits[int(b[i])%16]
		}
	}
	return string(b)
}
