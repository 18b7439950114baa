//go:build unix

package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
)

// A recording is what a terminal showed, row by row.
type recording struct {
	frames int
	rows   [rows][]span
}

// A span is what a row showed from one frame until before another.
type span struct {
	text       string
	from, till int
}

// add adds a frame.
func (r *recording) add(screen string) {
	lines := strings.Split(screen, "\n")
	for n := range r.rows {
		text := ""
		if n < len(lines) {
			text = strings.TrimRight(lines[n], " ")
		}
		spans := r.rows[n]
		if last := len(spans) - 1; last < 0 || spans[last].text != text {
			r.rows[n] = append(spans, span{text: text, from: r.frames})
		}
	}
	r.frames++
	r.hold(0)
}

// hold shows the last frame for longer.
func (r *recording) hold(frames int) {
	r.frames += max(frames, 0)
	for n := range r.rows {
		if last := len(r.rows[n]) - 1; last >= 0 {
			r.rows[n][last].till = r.frames
		}
	}
}

// The geometry of the picture, in pixels.
const (
	cellWidth, cellHeight = 8.4, 18
	margin, titleHeight   = 16, 34
)

// svg returns the recording as an animated picture. A viewer that does not animate shows the
// last frame.
func (r *recording) svg() []byte {
	var b bytes.Buffer
	width, height := columns*cellWidth+2*margin, rows*cellHeight+titleHeight+margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" xml:space="preserve" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14">
<title>tfhaul plans, moves and verifies %d states</title>
<style>text{fill:#d7dce3;white-space:pre}.b{font-weight:700}.d{opacity:.65}.c1{fill:#ff7b72}.c2{fill:#7ee787}.c3{fill:#e3b341}.c4{fill:#79c0ff}.c5{fill:#d2a8ff}.c6{fill:#76e3ea}</style>
<rect width="100%%" height="100%%" rx="10" fill="#12171f"/>
<g fill="#3a4453"><circle cx="20" cy="18" r="6"/><circle cx="40" cy="18" r="6"/><circle cx="60" cy="18" r="6"/></g>
`, width, int(height), states)
	for n, spans := range r.rows {
		y := titleHeight + (n+1)*cellHeight - 4
		for _, s := range spans {
			if s.text == "" {
				continue
			}
			fmt.Fprintf(&b, `<text x="%d" y="%d"%s>%s%s</text>`+"\n", margin, y, visibility(s, r.frames), animation(s, r.frames), runs(s.text))
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// visibility returns whether a span is visible without animation: only those of the last
// frame are.
func visibility(s span, frames int) string {
	if s.till == frames {
		return ""
	}
	return ` visibility="hidden"`
}

// animation returns the elements that show a span when it was on the screen.
func animation(s span, frames int) string {
	seconds := func(frame int) string { return fmt.Sprintf("%.4gs", float64(frame)/perSecond) }
	switch {
	case s.till < frames:
		return fmt.Sprintf(`<set attributeName="visibility" to="visible" begin="%s" end="%s"/>`, seconds(s.from), seconds(s.till))
	case s.from > 0:
		return fmt.Sprintf(`<set attributeName="visibility" to="hidden" begin="0s" end="%s"/>`, seconds(s.from))
	}
	return ""
}

var escape = regexp.MustCompile(`\x1b\[([0-9;]*)m`)

// runs returns a row's text as SVG, with the colors of its escape sequences.
func runs(text string) string {
	var out strings.Builder
	class := map[string]bool{}
	write := func(part string) {
		if part == "" {
			return
		}
		var quoted bytes.Buffer
		_ = xml.EscapeText(&quoted, []byte(part)) // a bytes.Buffer takes everything
		var names []string
		for _, name := range []string{"b", "d", "c1", "c2", "c3", "c4", "c5", "c6"} {
			if class[name] {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			out.WriteString(quoted.String())
			return
		}
		fmt.Fprintf(&out, `<tspan class="%s">%s</tspan>`, strings.Join(names, " "), quoted.String())
	}
	at := 0
	for _, m := range escape.FindAllStringSubmatchIndex(text, -1) {
		write(text[at:m[0]])
		at = m[1]
		for code := range strings.SplitSeq(text[m[2]:m[3]], ";") {
			switch {
			case code == "" || code == "0":
				clear(class)
			case code == "1":
				class["b"] = true
			case code == "2":
				class["d"] = true
			case len(code) == 2 && (code[0] == '3' || code[0] == '9'):
				for n := range 10 {
					delete(class, fmt.Sprintf("c%d", n))
				}
				class["c"+code[1:]] = true
			}
		}
	}
	write(text[at:])
	return out.String()
}
