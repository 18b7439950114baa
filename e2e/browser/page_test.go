// Package browser opens tfhaul's HTML pages in a real headless browser.
package browser

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tfhaul/audit"
	"tfhaul/backend"
	"tfhaul/backend/file"
	"tfhaul/fixtures"
	"tfhaul/migrate"
	"tfhaul/plainwords"
	"tfhaul/report"
	tfhaulpage "tfhaul/report/page"
)

// A tab is a page in the browser, and the problems in it.
type tab struct {
	context.Context
	t *testing.T

	address string // of the page

	mu       sync.Mutex
	requests []string // requested URLs
	trouble  []string // errors, console messages, dialogs
}

// browser finds a browser, and skips the test with a message if it cannot.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("SKIPPED: no chromium on this machine, so the page was not opened in a browser")
	return ""
}

// open writes a page with write and opens the file, at a fragment if one is given.
func open(t *testing.T, name string, write func(io.Writer) error, fragment ...string) *tab {
	t.Helper()
	path := browser(t)
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1360, 900), chromedp.Flag("disable-dev-shm-usage", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which does not work for root
	}
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {})) // it complains about events that are newer than itself
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	opened := &tab{Context: ctx, t: t, address: "file://" + filepath.ToSlash(file) + strings.Join(fragment, "")}
	chromedp.ListenTarget(ctx, opened.observe)
	opened.do(network.Enable(), log.Enable(), runtime.Enable(), chromedp.Navigate(opened.address))
	t.Cleanup(func() { opened.mustBeQuiet(file) })
	return opened
}

func (b *tab) observe(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *log.EventEntryAdded:
		b.trouble = append(b.trouble, e.Entry.Text)
	case *runtime.EventExceptionThrown:
		b.trouble = append(b.trouble, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		b.trouble = append(b.trouble, fmt.Sprintf("console.%s", e.Type))
	case *page.EventJavascriptDialogOpening:
		b.trouble = append(b.trouble, "a dialog: "+e.Message)
	}
}

// mustBeQuiet fails if the page made a request other than the one for the file, or caused
// an error, such as one of the content security policy.
func (b *tab) mustBeQuiet(file string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.requests {
		if address, _, _ := strings.Cut(url, "#"); !strings.HasSuffix(address, filepath.Base(file)) {
			b.t.Errorf("the page requested %s", url)
		}
	}
	for _, what := range b.trouble {
		b.t.Errorf("in the browser: %s", what)
	}
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// run runs a subtest in the tab.
func (b *tab) run(name string, test func(t *testing.T)) {
	outer := b.t
	defer func() { b.t = outer }()
	outer.Run(name, func(t *testing.T) {
		b.t = t
		test(t)
	})
}

// js evaluates an expression in the page.
func js[T any](b *tab, expression string) T {
	b.t.Helper()
	var v T
	b.do(chromedp.Evaluate(expression, &v))
	return v
}

// must fails unless an expression is true; soon waits for it to become true.
func (b *tab) must(expression string) {
	b.t.Helper()
	if !js[bool](b, expression) {
		b.t.Errorf("not so: %s", expression)
	}
}

// press clicks the first element that a CSS selector, or an XPath after //, finds. The
// browser may scroll between the moment when the position is looked up and the click, for
// example when it restores the position after a reload. Such a click misses and is
// repeated.
func (b *tab) press(selector string) {
	b.t.Helper()
	by, element := chromedp.QueryOption(chromedp.ByQuery), fmt.Sprintf("document.querySelector(%q)", selector)
	if strings.HasPrefix(selector, "//") {
		by, element = chromedp.BySearch, fmt.Sprintf("document.evaluate(%q, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue", selector)
	}
	b.do(chromedp.WaitVisible(selector, by), chromedp.Evaluate("window.pressed = false; "+element+`.addEventListener("click", () => { window.pressed = true; }, { capture: true, once: true })`, nil))
	for range 5 {
		b.do(chromedp.Click(selector, by))
		if js[bool](b, "window.pressed") {
			return
		}
	}
	b.t.Fatalf("five clicks on %s missed it", selector)
}

func (b *tab) soon(expression string) {
	b.t.Helper()
	b.do(chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(20*time.Second)))
}

// shot saves a screenshot in the directory TFHAUL_SCREENSHOTS.
func (b *tab) shot(name, scheme string) {
	b.t.Helper()
	var png []byte
	b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}), chromedp.CaptureScreenshot(&png))
	if len(png) < 10_000 {
		b.t.Errorf("the screenshot %s has %d bytes", name, len(png))
	}
	if dir := os.Getenv("TFHAUL_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+"-"+scheme+".png"), png, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
}

// whole saves a screenshot of the whole page in the directory TFHAUL_SCREENSHOTS.
func (b *tab) whole(name string) {
	b.t.Helper()
	dir := os.Getenv("TFHAUL_SCREENSHOTS")
	if dir == "" {
		return
	}
	var image []byte
	b.do(chromedp.FullScreenshot(&image, 100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), image, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

const states = 5000

// many is an inventory of 5,000 states, some with findings.
func many() *audit.Inventory {
	taken := time.Date(2026, 3, 1, 10, 15, 0, 0, time.UTC)
	i := &audit.Inventory{Taken: taken, Sources: []string{"s3://acme-tfstate/"}}
	versions := []string{"1.11.4", "1.9.8", "1.5.7", "0.14.11"}
	var findings []audit.Finding
	for n := range states {
		age := time.Duration(n*n%9000) * time.Hour
		s := audit.Snapshot{
			Source: fmt.Sprintf("s3://acme-tfstate/team-%02d/service-%04d/terraform.tfstate", n%23, n), Workspace: "default", Kind: "state", Format: 4,
			TerraformVersion: versions[n*7%10%4], Serial: int64(n * 37 % 401), Lineage: fmt.Sprintf("23a82f3f-9e45-4315-88f0-%012d", n), MD5: fmt.Sprintf("%032x", n),
			Size: int64(500 + n*n*31%3_000_000), Modified: taken.Add(-age), AgeSeconds: int64(age.Seconds()), Findings: []audit.Code{},
			Contents: audit.Contents{Resources: n % 300, Managed: n % 300, Instances: n % 400, Providers: []audit.Provider{
				{Address: []string{"registry.terraform.io/hashicorp/aws", "registry.terraform.io/hashicorp/google", "registry.terraform.io/hashicorp/azurerm"}[n%3], Resources: n % 300}}},
		}
		i.Snapshots = append(i.Snapshots, s)
		if n%97 == 0 {
			i.Snapshots[n].Kind, i.Snapshots[n].Code = "truncated", "invalid"
			findings = append(findings, audit.Finding{Code: audit.CodeInvalid, Severity: audit.SeverityError, Sources: []string{s.Source}, Message: "The file ends in the middle.", Advice: "Restore it."})
		}
		if n%11 == 0 {
			findings = append(findings, audit.Finding{Code: audit.CodeOldTerraform, Severity: audit.SeverityWarning, Sources: []string{s.Source}, Message: "The state was written by Terraform " + s.TerraformVersion + ".", Advice: "Upgrade."})
		}
	}
	i.Add(findings)
	return i
}

func TestPageOfManyStates(t *testing.T) {
	i := many()
	b := open(t, "audit.html", func(w io.Writer) error { return tfhaulpage.Audit(w, i) })
	rowCount := `document.querySelectorAll("#rows tbody tr").length`
	shown := `document.getElementById("shown").textContent`
	first := func(column int) string {
		return js[string](b, fmt.Sprintf(`document.querySelector("#rows tbody tr").cells[%d].textContent`, column))
	}

	b.must(shown + ` === "5,000 in all"`)
	// No lag, by construction: the document has only the visible rows and a few more.
	if n := js[int](b, rowCount); n == 0 || n > 400 {
		t.Errorf("%d rows were drawn at first", n)
	}
	b.shot("audit-5000", "light")
	b.shot("audit-5000", "dark")
	b.whole("audit-5000-whole")

	b.run("sorts", func(t *testing.T) {
		size := `[...document.querySelectorAll("#rows th button")].find(b => b.textContent === "Size")`
		b.do(chromedp.Evaluate(size+`.click()`, nil))
		b.must(`document.querySelector("#rows th[aria-sort=descending]").textContent === "Size"`)
		if got := first(4); got != "2.9 MiB" {
			t.Errorf("the largest is %s", got)
		}
		b.do(chromedp.Evaluate(size+`.click()`, nil))
		b.must(`document.querySelector("#rows th[aria-sort=ascending]").textContent === "Size"`)
		if got := first(4); got != "500 B" {
			t.Errorf("the smallest is %s", got)
		}
	})
	b.run("searches", func(t *testing.T) {
		b.do(chromedp.KeyEvent("/"))
		b.must(`document.activeElement.id === "search"`)
		b.do(chromedp.SendKeys("#search", "team-07 1.9.8", chromedp.ByQuery))
		b.must(shown + `.endsWith(" of 5,000")`)
		b.must(`[...document.querySelectorAll("#rows tbody tr")].every(r => r.textContent.includes("team-07") && r.textContent.includes("1.9.8"))`)
		b.do(chromedp.Evaluate(`document.getElementById("search").value = ""`, nil), chromedp.SendKeys("#search", fmt.Sprintf("%032x", 4711), chromedp.ByQuery))
		b.must(shown + ` === "1 of 5,000"`)
		b.press("#clear")
		b.must(shown + ` === "5,000 in all"`)
		t.Logf("one key press in the search of 5,000 rows takes %.1f ms", js[float64](b, `(() => {
			const e = document.getElementById("search"), t = performance.now();
			for (const v of ["s", "se", "ser", "serv", "servi"]) { e.value = v; e.dispatchEvent(new Event("input")); }
			const took = (performance.now() - t) / 5;
			e.value = ""; e.dispatchEvent(new Event("input"));
			return took; })()`))
	})
	b.run("filters", func(t *testing.T) {
		want, google := 0, 0
		for _, s := range i.Snapshots {
			if s.IsState() && s.Providers[0].Address == "registry.terraform.io/hashicorp/google" {
				google++
			}
			if len(s.Findings) > 0 && s.Findings[0] == audit.CodeInvalid {
				want++
			}
		}
		b.must(`[...document.getElementById("filter").options].some(o => o.textContent === "invalid (52 states)")`)
		b.do(chromedp.Evaluate(`(() => {
			const s = document.getElementById("filter");
			s.value = [...s.options].find(o => o.textContent.startsWith("invalid")).value;
			s.dispatchEvent(new Event("change")); })()`, nil))
		b.must(fmt.Sprintf(`%s === "%d of 5,000"`, shown, want))
		b.press("#clear")
		// A bar is also a filter.
		b.press(`//figure//a[text()="hashicorp/google"]`)
		b.soon(fmt.Sprintf(`%s === "%s of 5,000"`, shown, plainwords.Grouped(google)))
		b.press("#clear")
	})
	b.run("draws more when scrolled", func(t *testing.T) {
		before := js[int](b, rowCount)
		b.do(chromedp.Evaluate(`document.getElementById("end").scrollIntoView()`, nil))
		b.soon(fmt.Sprintf("%s > %d", rowCount, before))
	})
	b.run("opens a state's section by keyboard", func(t *testing.T) {
		b.do(chromedp.Evaluate(`document.querySelector("#rows tbody a").focus()`, nil), chromedp.KeyEvent(kb.Enter))
		b.soon(`document.getElementById("one").open`)
		b.must(`document.getElementById("one-title").textContent.startsWith("s3://acme-tfstate/")`)
		b.must(`document.getElementById("one").contains(document.activeElement)`)
		b.shot("state", "light")
		title := js[string](b, `document.getElementById("one-title").textContent`)
		b.press(`//dialog//button[text()="Next"]`)
		b.soon(fmt.Sprintf(`document.getElementById("one-title").textContent !== %q`, title))
		title = js[string](b, `document.getElementById("one-title").textContent`)
		b.must(`document.activeElement.textContent === "Next"`)
		b.do(chromedp.KeyEvent(kb.Enter))
		b.soon(fmt.Sprintf(`document.getElementById("one-title").textContent !== %q`, title))
		b.must(`document.activeElement.textContent === "Next"`)
		b.do(chromedp.KeyEvent(kb.Escape))
		b.soon(`!document.getElementById("one").open`)
	})
	b.run("keeps search, filter and order in the URL", func(t *testing.T) {
		b.do(chromedp.Evaluate(`location.hash = ""`, nil))
		b.soon(`document.querySelector("#rows th[aria-sort=descending]").textContent === "Findings"`)
		b.do(chromedp.SendKeys("#search", "team-07", chromedp.ByQuery), chromedp.Evaluate(`document.getElementById("search").blur()`, nil))
		b.must(`location.hash === "#q=team-07"`)
		found := js[string](b, shown)
		b.press(`//th/button[text()="Size"]`)
		b.must(`location.hash === "#q=team-07&sort=-Size"`)
		b.do(chromedp.Evaluate(`(() => {
			const s = document.getElementById("filter");
			s.value = "Finding:old-terraform";
			s.dispatchEvent(new Event("change")); })()`, nil))
		b.must(`location.hash === "#q=team-07&filter=Finding:old-terraform&sort=-Size"`)
		address, name := js[string](b, `location.href`), js[string](b, `document.querySelector("#rows tbody a").textContent`)
		b.press("#rows tbody a")
		b.soon(`document.getElementById("one").open`)
		b.must(fmt.Sprintf(`location.hash.endsWith("&state=%s")`, name))
		b.press(`//dialog//button[text()="Next"]`)
		b.do(chromedp.KeyEvent(kb.Escape))
		b.soon(fmt.Sprintf(`!document.getElementById("one").open && location.href === %q`, address))
		for _, before := range []string{"#q=team-07&sort=-Size", "#q=team-07", ""} {
			b.do(chromedp.Evaluate(`history.back()`, nil))
			b.soon(fmt.Sprintf("location.hash === %q", before))
		}
		b.soon(shown + ` === "5,000 in all" && document.getElementById("search").value === ""`)
		b.do(chromedp.Evaluate(`history.forward()`, nil))
		b.soon(fmt.Sprintf("%s === %q", shown, found))
		// Another reader opens the address.
		b.do(chromedp.Evaluate(fmt.Sprintf("location.href = %q", address), nil), chromedp.Reload())
		b.must(fmt.Sprintf(`document.querySelector("#rows tbody a").textContent === %q`, name))
		b.must(`document.getElementById("search").value === "team-07" && document.getElementById("filter").value === "Finding:old-terraform"`)
		// What no row has is ignored.
		b.do(chromedp.Evaluate(`location.hash = "#filter=No:such&sort=-Nothing&state=none"`, nil), chromedp.Reload())
		b.must(shown + ` === "5,000 in all" && !document.getElementById("one").open`)
		b.do(chromedp.Evaluate(`location.hash = ""`, nil))
	})
	b.run("says first what can be moved", func(t *testing.T) {
		first := js[string](b, `document.querySelector("main section").innerText`)
		at := -1
		for _, part := range []string{"4,498", "ready", "450", "need a decision", "52", "blocked"} {
			next := strings.Index(first, part)
			if next <= at {
				t.Errorf("%q does not follow in %q", part, first)
			}
			at = next
		}
		b.must(`document.querySelector(".verdict").getBoundingClientRect().bottom < innerHeight / 2`)
		b.press(`//ul[@class="verdict"]//a[contains(., "blocked")]`)
		b.soon(shown + ` === "52 of 5,000"`)
		b.press("#clear")
		b.must(`[...document.querySelectorAll(".timeline a")].every(a => /^[A-Z0-9][a-z0-9]+ \d+: [\d,]+ states?$/.test(a.textContent))`)
	})
	b.run("prints what has findings, and says what it leaves out", func(t *testing.T) {
		var pdf []byte
		b.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
			pdf, _, err = page.PrintToPDF().WithPrintBackground(true).Do(ctx)
			return err
		}))
		pages := len(regexp.MustCompile(`/Type\s*/Page\b`).FindAll(pdf, -1))
		if pages < 5 || pages > 30 {
			t.Errorf("5,000 states are printed on %d pages", pages)
		}
		t.Logf("5,000 states are printed on %d pages", pages)
		b.do(chromedp.Evaluate(`dispatchEvent(new Event("beforeprint"))`, nil))
		b.must(rowCount + ` === 500`)
		b.must(`document.getElementById("printed").textContent === "The table lists only states with errors or warnings. It ends after 500 states. It leaves out 4,500 of 5,000 states. Details of each state are left out. At most 10 entries of each list of findings are printed. The page on screen shows everything."`)
		b.do(chromedp.Evaluate(`dispatchEvent(new Event("afterprint"))`, nil))
		b.must(`document.getElementById("printed").hidden && ` + shown + ` === "5,000 in all"`)
	})
	b.run("describes itself to a screen reader", func(t *testing.T) {
		b.must(`document.documentElement.lang === "en"`)
		b.must(`[...document.querySelectorAll("#rows th")].every(th => th.scope === "col")`)
		b.must(`[...document.querySelectorAll("input, select")].every(e => e.labels.length === 1 && e.labels[0].textContent.trim() !== "")`)
		b.must(`[...document.querySelectorAll("section")].every(s => s.hasAttribute("aria-labelledby") || s.hasAttribute("aria-label"))`)
		b.must(`document.getElementById("shown").getAttribute("aria-live") === "polite"`)
		b.must(`new Set([...document.querySelectorAll("[id]")].map(e => e.id)).size === document.querySelectorAll("[id]").length`)
	})
	b.run("does not scroll sideways on a phone", func(t *testing.T) {
		b.do(chromedp.EmulateViewport(390, 800), chromedp.Evaluate(`scrollTo(0, 0)`, nil))
		b.must(`document.documentElement.scrollWidth <= innerWidth`)
		b.shot("audit-5000-phone", "light")
		b.whole("audit-5000-phone-whole")
		b.do(chromedp.EmulateViewport(1360, 900))
	})
}

// A link to a state leads to it in the page of a later audit, too, in which other states come
// before it.
func TestLinksOutliveAnAudit(t *testing.T) {
	const name = "s3://acme/team a/ü&x=1#/terraform.tfstate"
	snapshot := func(name string) audit.Snapshot {
		return audit.Snapshot{Source: name, Kind: "state", Format: 4, Serial: 1, Size: 1}
	}
	first := &audit.Inventory{Taken: time.Now(), Snapshots: []audit.Snapshot{snapshot(name), snapshot("s3://acme/z")}}
	first.Add([]audit.Finding{{Code: audit.CodeLocked, Severity: audit.SeverityWarning, Sources: []string{name}, Message: "It is locked."}})
	b := open(t, "audit.html", func(w io.Writer) error { return tfhaulpage.Audit(w, first) })
	b.do(chromedp.Evaluate(`document.querySelector("details").open = true`, nil))
	b.press(".places a")
	b.soon(`document.getElementById("one").open`)
	b.must(fmt.Sprintf(`document.getElementById("one-title").textContent === %q`, name))
	link := js[string](b, `location.hash`)
	if static := js[string](b, `document.querySelector(".places a").getAttribute("href")`); static != link {
		t.Errorf("the finding links to %q, the script to %q", static, link)
	}

	later := &audit.Inventory{Taken: time.Now(), Snapshots: []audit.Snapshot{snapshot("s3://acme/a"), snapshot("s3://acme/b"), snapshot(name)}}
	c := open(t, "audit.html", func(w io.Writer) error { return tfhaulpage.Audit(w, later) }, link)
	c.soon(`document.getElementById("one").open`)
	c.must(fmt.Sprintf(`document.getElementById("one-title").textContent === %q`, name))
}

func TestPageOfALandscapeHoldsNoSecret(t *testing.T) {
	browser(t)
	dir := t.TempDir()
	if _, err := fixtures.Landscape(dir, 5, 3, fixtures.WithProblems(), fixtures.WithOddities()); err != nil {
		t.Fatal(err)
	}
	i, err := audit.Take(t.Context(), []string{dir}, audit.Options{Kinds: backend.Kinds{file.Kind(backend.Connection{})}})
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, "audit.html", func(w io.Writer) error { return tfhaulpage.Audit(w, i) })
	b.shot("audit-5", "light")
	b.shot("audit-5", "dark")
	b.whole("audit-5-whole")
	b.do(chromedp.Evaluate(`dispatchEvent(new Event("beforeprint"))`, nil))
	b.must(`document.querySelectorAll("details:not([open])").length === 0`)
	b.run("prints with room for names, and repeats heads on every page", func(t *testing.T) {
		b.do(emulation.SetEmulatedMedia().WithMedia("print"), chromedp.EmulateViewport(700, 1000))
		b.must(`document.querySelector("#rows td.name").offsetWidth > 0.3 * document.getElementById("rows").offsetWidth`)
		b.must(`document.getElementById("rows").offsetWidth <= innerWidth`)
		// Chromium draws buttons in the head only on the first page.
		b.must(`[...document.querySelectorAll("#rows th")].every(th => th.innerText === "" && getComputedStyle(th, "::before").content === JSON.stringify(th.textContent))`)
		b.do(emulation.SetEmulatedMedia().WithMedia(""), chromedp.EmulateViewport(1360, 900))
	})
	text := js[string](b, `document.documentElement.outerHTML`)
	b.do(chromedp.Evaluate(`dispatchEvent(new Event("afterprint"))`, nil))
	for n, secret := range fixtures.PlantedSecrets() {
		if strings.Contains(text, secret) {
			t.Errorf("planted secret %d is in the page", n)
		}
	}
	var pdf []byte
	b.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		pdf, _, err = page.PrintToPDF().WithPrintBackground(true).Do(ctx)
		return err
	}))
	if !bytes.HasPrefix(pdf, []byte("%PDF")) {
		t.Errorf("printing produced %d bytes that are not a PDF", len(pdf))
	}
}

// hostile names try to make a page run something.
var hostile = []string{
	"</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", `"><svg onload=alert(1)>`, "javascript:alert(1)", "{{constructor.constructor('alert(1)')()}}",
	"\u2028alert(1)", "<!--<script>", "]]><script>alert(1)</script>", "<a href=//example.com>x</a>", "<link rel=stylesheet href=//example.com/x.css>",
}

func TestHostileNamesDoNothing(t *testing.T) {
	i := &audit.Inventory{Taken: time.Now(), Sources: hostile}
	h := report.HaulReport{Journal: hostile[0], Haul: hostile[1]}
	for _, name := range hostile {
		i.Snapshots = append(i.Snapshots, audit.Snapshot{Source: name, Workspace: name, Kind: "state", Format: 4, TerraformVersion: name, Lineage: name,
			Contents: audit.Contents{Providers: []audit.Provider{{Address: name, Resources: 1}}}})
		i.Add([]audit.Finding{{Code: audit.Code(name), Severity: audit.SeverityError, Sources: []string{name}, Message: name, Advice: name}})
		h.Results = append(h.Results, migrate.Result{Source: name, Target: name, Outcome: migrate.Outcome(name), Code: migrate.Code(name), Message: name, Notes: []string{name}})
	}
	for name, write := range map[string]func(io.Writer) error{
		"audit.html": func(w io.Writer) error { return tfhaulpage.Audit(w, i) },
		"haul.html":  func(w io.Writer) error { return tfhaulpage.Haul(w, h) },
	} {
		b := open(t, name, write)
		// Every section is shown once; anything that runs or is requested in it fails the
		// test.
		b.do(chromedp.Evaluate(`dispatchEvent(new Event("beforeprint"))`, nil))
		b.must(`document.querySelectorAll("script").length === 2 && document.querySelectorAll("img, link, iframe, object, embed").length === 0`)
		b.must(`document.querySelector("#rows tbody").textContent.includes("<img src=x onerror=alert(1)>")`)
	}
}

func TestPageOfAHaul(t *testing.T) {
	h := report.HaulReport{Journal: "haul.jsonl", Haul: "20260301-101500-0123456789ab", Started: time.Date(2026, 3, 1, 10, 15, 0, 0, time.UTC), Ended: time.Date(2026, 3, 1, 10, 16, 7, 0, time.UTC)}
	for n := range 800 {
		r := migrate.Result{Source: fmt.Sprintf("service-%03d/terraform.tfstate", n), Target: fmt.Sprintf("app.terraform.io/acme/service-%03d", n), Outcome: migrate.Moved, Relation: migrate.Fresh,
			Message: "All bytes were read back and match.", Snapshot: &migrate.Snapshot{Format: 4, Serial: int64(n), Size: int64(n * 1000), TerraformVersion: "1.11.4"}, APICalls: 4, Seconds: float64(n%40) / 10}
		switch {
		case n%90 == 0:
			r.Outcome, r.Relation, r.Code, r.Message = migrate.Refused, migrate.Stale, migrate.CodeStale, "The workspace holds a newer serial."
		case n%130 == 0:
			r.Outcome, r.Code, r.Message = migrate.Failed, migrate.CodeUnreachable, "The server did not respond."
		}
		h.Results = append(h.Results, r)
	}
	b := open(t, "haul.html", func(w io.Writer) error { return tfhaulpage.Haul(w, h) })
	b.must(`document.getElementById("shown").textContent === "800 in all"`)
	b.must(`document.querySelector("#rows tbody tr").cells[2].textContent.startsWith("failed")`)
	b.shot("haul", "light")
	b.shot("haul", "dark")
}
