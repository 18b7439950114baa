package pairing

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// spellings are letters that a workspace name cannot have, as people write them in ASCII:
// German by its own rule, Cyrillic and Greek as in passports. ASCII letters with marks
// (except ł) are not listed; their marks are dropped.
var spellings = map[rune]string{
	'ä': "ae", 'ö': "oe", 'ü': "ue", 'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'å': "aa",
	'ł': "l", 'đ': "d", 'ð': "d", 'þ': "th", 'ħ': "h", 'ı': "i", 'ĸ': "k", 'ŋ': "ng", 'ŧ': "t", 'ə': "e",

	'а': "a", 'б': "b", 'в': "v", 'г': "g", 'ґ': "g", 'д': "d", 'е': "e", 'ё': "yo", 'є': "ye", 'ж': "zh",
	'з': "z", 'и': "i", 'і': "i", 'ї': "yi", 'й': "y", 'к': "k", 'л': "l", 'м': "m", 'н': "n", 'о': "o",
	'п': "p", 'р': "r", 'с': "s", 'т': "t", 'у': "u", 'ў': "u", 'ф': "f", 'х': "kh", 'ц': "ts", 'ч': "ch",
	'ш': "sh", 'щ': "shch", 'ъ': "", 'ы': "y", 'ь': "", 'э': "e", 'ю': "yu", 'я': "ya",
	'ђ': "dj", 'ј': "j", 'љ': "lj", 'њ': "nj", 'ћ': "c", 'ќ': "k", 'џ': "dz", 'ѓ': "g", 'ѕ': "dz",

	'α': "a", 'β': "v", 'γ': "g", 'δ': "d", 'ε': "e", 'ζ': "z", 'η': "i", 'θ': "th", 'ι': "i", 'κ': "k",
	'λ': "l", 'μ': "m", 'ν': "n", 'ξ': "x", 'ο': "o", 'π': "p", 'ρ': "r", 'σ': "s", 'ς': "s", 'τ': "t",
	'υ': "y", 'φ': "f", 'χ': "ch", 'ψ': "ps", 'ω': "o",
}

// transliterate spells the letters and digits of s in ASCII. Letters without a known
// spelling are kept, and also returned in unknown. Everything else is kept.
func transliterate(s string) (spelled, unknown string) {
	if isASCII(s) {
		return s, ""
	}
	var b, missing strings.Builder
	for _, r := range norm.NFC.String(s) {
		text, ok := spell(r)
		if !ok {
			missing.WriteRune(r)
		}
		b.WriteString(text)
	}
	return b.String(), missing.String()
}

// spell spells one character. It returns false for a letter, digit or mark without a known
// spelling, and returns any other character unchanged.
func spell(r rune) (string, bool) {
	if text, ok := spellKnown(r); ok {
		return text, true
	}
	var b strings.Builder
	for i, part := range []rune(norm.NFKD.String(string(r))) {
		text, ok := spellKnown(part)
		switch {
		case ok:
			b.WriteString(text)
		case unicode.Is(unicode.Mn, part) && i > 0:
			// An accent on the preceding letter.
		case unicode.IsLetter(part), unicode.IsNumber(part), unicode.IsMark(part), part == unicode.ReplacementChar:
			return string(r), false
		default:
			b.WriteRune(part)
		}
	}
	return b.String(), true
}

// spellKnown spells ASCII and the characters in the table.
func spellKnown(r rune) (string, bool) {
	if r <= unicode.MaxASCII {
		return string(r), true
	}
	lower := unicode.ToLower(r)
	text, ok := spellings[lower]
	if ok && lower != r && text != "" {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return text, ok
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] > unicode.MaxASCII {
			return false
		}
	}
	return true
}
