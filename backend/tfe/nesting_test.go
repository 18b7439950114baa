package tfe

import (
	"strings"
	"testing"
)

func TestConfigurationsNestedTooDeeplyAreRefused(t *testing.T) {
	const n = 300_000
	for name, text := range map[string]string{
		"lists":      "a = " + strings.Repeat("[", n),
		"objects":    "a = " + strings.Repeat("{a=", n),
		"blocks":     strings.Repeat("a {", n),
		"JSON":       strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n),
		"JSON lists": `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}",
	} {
		if _, err := decodeCLIConfig([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
