// Package page shows an audit or a haul as one self-contained HTML page.
package page

import (
	"crypto/sha256"
	_ "embed" // of the page's parts
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"slices"
	"strings"

	"tfhaul/report"
)

// The page is one file that needs nothing else: no network, no server, no
// permission. Its content security policy names the digests of its own style and
// script, so that nothing that came from a file or a server can ever run in it.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string

	pageTemplate = template.Must(template.New("page").Parse(pageHTML))
)

// A page is what the HTML views have in common: a verdict, a summary, findings, plots, and
// a table of rows with a section each.
type page struct {
	Title, About, Footer string
	Verdict              verdict
	Tiles                []tile
	GroupsTitle          string
	Groups               []findingGroup
	NoGroups             string // shown if there are no groups
	Plots                []plot
	TableTitle           string

	table  pageTable
	facets facetIndex
	badges map[string]int // by text
	keys   map[string]bool
}

// A verdict is the first thing that a page shows: how all rows divide into a few classes.
type verdict struct {
	Heading string // for screen readers
	Classes []class
}

// A class is a part of all rows, and what to do with it.
type class struct {
	Label, Value, Note, Tone string
	Filter                   template.URL
	X, Width                 string // of its part of the bar, in percent
}

// A tile is a figure of the summary.
type tile struct{ Label, Value, Note, Tone string }

// A findingGroup is all findings of one code and severity.
type findingGroup struct {
	Severity, Code, Gist, Count, Tone string
	Advice                            []string
	Items                             []findingItem
	More                              string       // shown if the group is not complete
	Filter                            template.URL // shows the rows concerned
}

// A findingItem is what was found, and where; Advice also applies to the items before it
// that have none, unless it is the group's.
type findingItem struct {
	Message, Advice string
	Places          []findingPlace
}

// A findingPlace is one place of a finding; Row is the address of its section.
type findingPlace struct {
	Name, Note string
	Row        template.URL
}

// maxItems is how many items a group shows, and how many places an item; the table has
// them all.
const maxItems = 40

// add adds a place to the item that says the same, or to a new one.
func (g *findingGroup) add(message, advice string, places ...findingPlace) {
	k := slices.IndexFunc(g.Items, func(i findingItem) bool { return i.Message == message && i.Advice == advice })
	if k < 0 && len(g.Items) < maxItems {
		k = len(g.Items)
		g.Items = append(g.Items, findingItem{Message: message, Advice: advice})
	}
	if k >= 0 {
		room := min(len(places), maxItems-len(g.Items[k].Places))
		g.Items[k].Places = append(g.Items[k].Places, places[:room]...)
		places = places[room:]
	}
	if k < 0 || len(places) > 0 {
		g.More = "There are more; the table has them all."
	}
}

// badge returns the number of a badge, adding it if needed.
func (p *page) badge(text, tone string, weight int) int {
	n, known := p.badges[text]
	if !known {
		if p.badges == nil {
			p.badges = map[string]int{}
		}
		n = len(p.table.Badges)
		p.badges[text] = n
		p.table.Badges = append(p.table.Badges, pageBadge{text, tone, weight})
	}
	return n
}

// A pageTable is the data of the table, as the page's script reads it.
type pageTable struct {
	Unit       string        `json:"unit"` // what a row is: state, move
	Columns    []pageColumn  `json:"columns"`
	NameColumn int           `json:"nameColumn"`
	Sort       pageSort      `json:"sort"`
	Facts      []string      `json:"facts"` // the labels of what stands in sections
	Facets     []pageFacet   `json:"facets"`
	Badges     []pageBadge   `json:"badges"`
	Findings   []pageFinding `json:"findings"`
	Rows       []pageRow     `json:"rows"`
}

type pageColumn struct {
	Title string `json:"title"`
	Type  string `json:"type"` // name, text, badges, number, bytes, age (seconds) or seconds
}

type pageSort struct {
	Column int  `json:"column"`
	Down   bool `json:"down"`
}

// A pageFacet is something that rows can be filtered by.
type pageFacet struct {
	Kind  string `json:"kind"`
	Label string `json:"label"`
	Count int    `json:"count"`
}

type pageBadge struct {
	Text   string `json:"text"`
	Tone   string `json:"tone"`
	Weight int    `json:"weight"`
}

type pageFinding struct {
	Severity string   `json:"severity"`
	Tone     string   `json:"tone"`
	Code     string   `json:"code"`
	Message  string   `json:"message"`
	Advice   string   `json:"advice"`
	Places   []string `json:"places"`
}

// facts returns the values of a section, all empty, and a function that sets one by its label.
func (p *page) facts() (values []string, set func(label, value string)) {
	values = make([]string, len(p.table.Facts))
	return values, func(label, value string) { values[slices.Index(p.table.Facts, label)] = value }
}

// key returns the name by which a fragment selects the next row. It does not depend on the
// other rows, so a link to a state leads to the same state in a later page. The script
// derives the same keys.
func (p *page) key(name string) string {
	if p.keys == nil {
		p.keys = map[string]bool{}
	}
	key := name
	for n := 2; p.keys[key]; n++ {
		key = fmt.Sprintf("%s (%d)", name, n)
	}
	p.keys[key] = true
	return key
}

// fragment returns the address within the page that selects a value of a parameter. Slashes
// and colons need no escape there.
func fragment(parameter, value string) template.URL {
	escaped := strings.NewReplacer("%2F", "/", "%3A", ":").Replace(url.QueryEscape(value))
	return template.URL("#" + parameter + "=" + escaped)
}

// A pageRow is a row and its section. A cell is a string, a number, nil, or a list of badges.
type pageRow struct {
	Cells    []any    `json:"cells"`
	Facts    []string `json:"facts"`
	Facets   []int    `json:"facets"`
	Findings []int    `json:"findings,omitempty"`
}

// write writes the page.
func (p *page) write(w io.Writer) error {
	p.table.Facets, p.table.Badges, p.table.Findings = orEmpty(p.facets.facets), orEmpty(p.table.Badges), orEmpty(p.table.Findings)
	// Marshal escapes <, > and & and the separators that end a line of script.
	data, err := json.Marshal(&p.table)
	if err != nil {
		return err
	}
	return pageTemplate.Execute(w, struct {
		*page
		Style                 template.CSS
		Script, Data          template.JS
		StyleHash, ScriptHash string
	}{p, template.CSS(pageCSS), template.JS(pageJS), template.JS(data), digestSource(pageCSS), digestSource(pageJS)})
}

// digestSource returns the name of a text in a content security policy.
func digestSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// A facetIndex numbers the facets.
type facetIndex struct {
	facets []pageFacet
	number map[[2]string]int
}

// of returns the number of a facet and counts one more row.
func (x *facetIndex) of(kind, label string) int {
	n := x.find(kind, label)
	x.facets[n].Count++
	return n
}

// find returns the number of a facet, adding it if needed.
func (x *facetIndex) find(kind, label string) int {
	key := [2]string{kind, label}
	n, known := x.number[key]
	if !known {
		if x.number == nil {
			x.number = map[[2]string]int{}
		}
		n = len(x.facets)
		x.number[key] = n
		x.facets = append(x.facets, pageFacet{Kind: kind, Label: label})
	}
	return n
}

// address returns the fragment that filters the page by a facet, or "" if no row has it.
func (x *facetIndex) address(kind, label string) template.URL {
	if n, known := x.number[[2]string{kind, label}]; known && x.facets[n].Count > 0 {
		return fragment("filter", kind+":"+label)
	}
	return ""
}

// count returns how many rows have a facet.
func (x *facetIndex) count(kind, label string) int {
	if n, known := x.number[[2]string{kind, label}]; known {
		return x.facets[n].Count
	}
	return 0
}

// htmlText neutralizes a message of several lines, as report.PlainLine does a single line.
func htmlText(text string) string { return strings.TrimSpace(report.Plain(text)) }

// orEmpty makes JSON write [] instead of null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
