package statefile

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestBase64AsTheLibrary compares what is read quickly with what the library decodes, at all
// places of a text of 24 bytes.
func TestBase64AsTheLibrary(t *testing.T) {
	texts := []string{"", "=", "==", "A", "AA", "AAA", "A===", "AA=", "AAA=", "AA==", "AAA=AAAA", "AA==AAAA", "AAAA=", "AAAA==", "AA=\n=", "AAA\n="}
	for length := range 25 {
		text := strings.Repeat("Qk+/", 6)[:length]
		texts = append(texts, text, text+"=", text+"==")
		for i := range length {
			for _, wrong := range []string{"=", "\n", "-", "\x00", "é"} {
				texts = append(texts, text[:i]+wrong+text[i+1:])
			}
		}
	}
	for _, text := range texts {
		_, err := base64.StdEncoding.DecodeString(text)
		if got := isBase64([]byte(text), false); got != (err == nil) {
			t.Errorf("isBase64(%q) = %v, the library says: %v", text, got, err)
		}
	}
}
