package statefile

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestBase64AsTheLibrary compares our fast check with the library's decoder, with a
// change at every position of a 24-byte text.
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
			t.Errorf("isBase64(%q) = %v, the library says %v", text, got, err)
		}
	}
}
