"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = id => document.getElementById(id);
  const make = (tag, className, text) => {
    const e = document.createElement(tag);
    if (className) e.className = className;
    if (text !== undefined) e.textContent = text;
    return e;
  };

  // Formats of values, the same as in the text views.
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const bytes = n => {
    let u = 0;
    while (n >= 1023.95 && u < units.length - 1) { n /= 1024; u++; }
    return (u === 0 ? String(n) : n.toFixed(n >= 99.95 ? 0 : 1)) + " " + units[u];
  };
  const age = s => s < 60 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min" : s < 172800 ? Math.floor(s / 3600) + " h"
    : s < 63072000 ? Math.floor(s / 86400) + " d" : (s / 31536000).toFixed(1) + " y";
  const write = { number: n => n.toLocaleString("en"), bytes, age, seconds: s => s < 60 ? s.toFixed(2) + " s" : Math.round(s) + " s" };
  const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // A row's key is its name, the same as in package page: a link to it stays valid in later pages.
  const rows = data.rows.map((row, index) => ({ ...row, index })), byKey = new Map();
  for (const row of rows) {
    const name = row.cells[data.nameColumn];
    row.key = name;
    for (let n = 2; byKey.has(row.key); n++) row.key = `${name} (${n})`;
    byKey.set(row.key, row);
  }
  const facets = new Map(data.facets.map((facet, k) => [facet.kind + ":" + facet.label, k]));
  const text = row => row.text ??= [...row.cells, ...row.facts, ...(row.findings || []).flatMap(k => [data.findings[k].code, data.findings[k].message])]
    .map(v => v === null ? "" : Array.isArray(v) ? v.map(k => data.badges[k].text).join("\n") : v).join("\n").toLowerCase();

  const state = { query: "", facet: "", column: data.sort.column, down: data.sort.down, list: rows, drawn: 0 };

  // The fragment of the URL says what is shown: #q=network&filter=Severity:error&sort=-Size&state=…
  const fragment = parameters => "#" + new URLSearchParams(parameters).toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  const shown = () => new URLSearchParams(location.hash.slice(1));
  const view = row => {
    const parameters = {};
    if (state.query !== "") parameters.q = state.query;
    if (state.facet !== "") parameters.filter = state.facet;
    if (state.column !== data.sort.column || state.down !== data.sort.down) parameters.sort = (state.down ? "-" : "") + data.columns[state.column].title;
    if (row) parameters.state = row.key;
    const address = fragment(parameters);
    return address === "#" ? location.pathname + location.search : address;
  };
  const body = $("rows").tBodies[0], head = $("rows").tHead.rows[0];
  const chunk = 120;

  // The table.
  data.columns.forEach((column, k) => {
    const th = make("th", "of-" + column.type + (column.type === "text" || column.type === "name" || column.type === "badges" ? "" : " number"));
    th.scope = "col";
    th.dataset.title = column.title;
    const button = make("button", "", column.title);
    button.type = "button";
    button.addEventListener("click", () => {
      state.down = state.column === k ? !state.down : column.type !== "text" && column.type !== "name";
      state.column = k;
      refresh();
      history.pushState(null, "", view());
    });
    th.append(button);
    head.append(th);
  });

  const weight = badges => badges.reduce((sum, k) => sum + data.badges[k].weight, 0);
  const compare = (a, b) => {
    const x = a.cells[state.column], y = b.cells[state.column];
    let by = 0;
    if (Array.isArray(x)) by = weight(x) - weight(y);
    // Unknown values come last in both directions.
    else if (x === null || x === "" || y === null || y === "") return (x === null || x === "") - (y === null || y === "") || a.index - b.index;
    else by = typeof x === "number" ? x - y : order.compare(x, y);
    return (state.down ? -by : by) || a.index - b.index;
  };

  function cell(column, value, row) {
    const td = make("td");
    switch (column.type) {
      case "name": {
        td.className = "name";
        const a = make("a");
        a.href = fragment({ state: row.key });
        a.append(make("code", "", value));
        td.append(a);
        break;
      }
      case "badges": {
        const box = make("div", "badges");
        for (const k of value) box.append(make("span", "badge " + data.badges[k].tone, data.badges[k].text), " ");
        td.append(box);
        break;
      }
      case "text": td.textContent = value; break;
      default: td.className = "number"; td.textContent = value === null ? "" : write[column.type](value);
    }
    return td;
  }

  function draw(most) {
    const rest = state.list.slice(state.drawn, state.drawn + most), part = document.createDocumentFragment();
    for (const row of rest) {
      const tr = make("tr");
      data.columns.forEach((column, k) => tr.append(cell(column, row.cells[k], row)));
      part.append(tr);
    }
    body.append(part);
    state.drawn += rest.length;
    const left = state.list.length - state.drawn;
    $("end").textContent = left > 0 ? left.toLocaleString("en") + " more below" : state.list.length === 0 ? "No matches." : "";
  }

  function refresh() {
    const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
    const facet = facets.get(state.facet) ?? -1;
    state.list = rows.filter(row => (facet < 0 || row.facets.includes(facet)) && words.every(w => text(row).includes(w))).sort(compare);
    if ($("search").value !== state.query) $("search").value = state.query;
    $("filter").value = state.facet;
    [...head.cells].forEach((th, k) => {
      if (k === state.column) th.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    });
    body.replaceChildren();
    state.drawn = 0;
    draw(chunk);
    const all = rows.length.toLocaleString("en");
    $("shown").textContent = state.list.length === rows.length ? all + " in all" : state.list.length.toLocaleString("en") + " of " + all;
    $("clear").hidden = state.query === "" && facet < 0;
    $("rows").setAttribute("aria-rowcount", String(state.list.length + 1));
  }

  // Draw more rows as the end of the table comes into view.
  new IntersectionObserver(seen => {
    if (seen.some(s => s.isIntersecting) && state.drawn < state.list.length) draw(chunk);
  }, { rootMargin: "900px" }).observe($("end"));

  // The section of a row.
  function section(row, buttons) {
    const e = make("article", "state");
    e.setAttribute("aria-label", row.cells[data.nameColumn]);
    if (buttons) {
      const bar = make("div", "bar");
      const at = state.list.indexOf(row);
      const go = (label, to) => {
        const b = make("button", "", label);
        b.type = "button";
        b.disabled = !to;
        b.addEventListener("click", () => {
          history.replaceState(history.state, "", view(to));
          open(to);
        });
        bar.append(b);
      };
      go("Previous", at > 0 ? state.list[at - 1] : undefined);
      go("Next", at >= 0 ? state.list[at + 1] : undefined);
      const close = make("button", "", "Close");
      close.type = "button";
      close.addEventListener("click", () => $("one").close());
      bar.append(close);
      e.append(bar);
    }
    const title = make("h3");
    title.append(make("code", "", row.cells[data.nameColumn]));
    if (buttons) title.id = "one-title";
    e.append(title);
    for (const k of row.findings || []) {
      const f = data.findings[k], box = make("div", "finding " + f.tone), first = make("p");
      first.append(make("span", "badge " + f.tone, f.severity), " ", make("b", "", f.code));
      box.append(first, make("p", "", f.message));
      if (f.advice) box.append(make("p", "", "→ " + f.advice));
      const others = f.places.filter(p => p !== row.cells[data.nameColumn]);
      if (others.length) box.append(make("p", "", "See also: " + others.slice(0, 12).join(", ") + (others.length > 12 ? ", …" : "")));
      e.append(box);
    }
    const list = make("dl");
    data.facts.forEach((label, k) => {
      if (row.facts[k] !== "") list.append(make("dt", "", label), make("dd", "", row.facts[k]));
    });
    e.append(list);
    return e;
  }

  function open(row) {
    const pressed = $("one").contains(document.activeElement) ? document.activeElement.textContent : "";
    $("one-inside").replaceChildren(section(row, true));
    if (!$("one").open) $("one").showModal();
    else {
      // Keep the keyboard focus on the pressed button.
      const buttons = [...$("one").querySelectorAll(".bar button")];
      (buttons.find(b => b.textContent === pressed && !b.disabled) || buttons[buttons.length - 1]).focus();
    }
    $("one").scrollTop = 0;
  }

  function toTable() {
    $("table").scrollIntoView();
    $("table").focus({ preventScroll: true });
  }

  // follow shows what the fragment says, after a link, the back button, or at first.
  function follow() {
    const parameters = shown();
    if (location.hash.length > 1 && !["q", "filter", "sort", "state"].some(p => parameters.has(p))) return; // such as #table
    const sort = parameters.get("sort") ?? "", column = data.columns.findIndex(c => c.title === sort.replace(/^-/, ""));
    const next = {
      query: parameters.get("q") ?? "",
      facet: facets.has(parameters.get("filter")) ? parameters.get("filter") : "",
      column: column < 0 ? data.sort.column : column,
      down: column < 0 ? data.sort.down : sort.startsWith("-"),
    };
    if (Object.keys(next).some(k => next[k] !== state[k])) {
      Object.assign(state, next);
      refresh();
    }
    const row = byKey.get(parameters.get("state"));
    if (row) open(row);
    else if ($("one").open) $("one").close();
  }
  addEventListener("popstate", follow);

  // A link to a row keeps the search, the filter and the order of the table.
  addEventListener("click", e => {
    const link = e.target.closest?.('a[href^="#"]');
    if (!link || e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
    const parameters = new URLSearchParams(link.hash.slice(1)), row = byKey.get(parameters.get("state"));
    if (row) {
      history.pushState({ here: true }, "", view(row));
      open(row);
    } else if (parameters.has("filter")) {
      state.query = "";
      state.facet = parameters.get("filter");
      refresh();
      history.pushState(null, "", view());
      toTable();
    } else return;
    e.preventDefault();
  });
  $("one").addEventListener("close", () => {
    if (!shown().has("state")) return; // the back button closed it
    if (history.state?.here) history.back();
    else history.replaceState(null, "", view());
  });
  $("one").addEventListener("click", e => { if (e.target === $("one")) $("one").close(); });

  // Search and filter.
  const kinds = new Map();
  data.facets.forEach(facet => {
    if (facet.count === 0) return;
    if (!kinds.has(facet.kind)) {
      const group = make("optgroup");
      group.label = facet.kind;
      kinds.set(facet.kind, group);
      $("filter").append(group);
    }
    const option = make("option", "", `${facet.label} (${facet.count.toLocaleString("en")} ${data.unit}${facet.count === 1 ? "" : "s"})`);
    option.value = facet.kind + ":" + facet.label;
    kinds.get(facet.kind).append(option);
  });
  // What is typed in one go is one entry of the history. Browsers limit how often it changes.
  let typing = false, later = 0;
  const remember = () => {
    clearTimeout(later);
    if (later === 0) return;
    later = 0;
    history[typing ? "replaceState" : "pushState"](null, "", view());
    typing = true;
  };
  $("search").addEventListener("input", e => {
    state.query = e.target.value;
    refresh();
    clearTimeout(later);
    later = setTimeout(remember, 300);
  });
  $("search").addEventListener("blur", () => { remember(); typing = false; });
  $("filter").addEventListener("change", e => {
    state.facet = e.target.value;
    refresh();
    history.pushState(null, "", view());
  });
  $("clear").addEventListener("click", () => {
    state.query = state.facet = "";
    refresh();
    history.pushState(null, "", view());
    $("search").focus();
  });
  addEventListener("keydown", e => {
    if (e.key === "/" && !e.ctrlKey && !e.metaKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      e.preventDefault();
      $("search").focus();
    }
  });

  // Print all rows of a short list with their sections. Of a long list that is neither searched
  // nor filtered, print only the rows with errors or warnings, and never more than maxPrinted.
  const short = 60, maxPrinted = 500;
  const serious = row => row.cells.some(v => Array.isArray(v) && v.some(k => /error|warning/.test(data.badges[k].tone)));
  let closed = [], onScreen;
  addEventListener("beforeprint", () => {
    if (onScreen) return;
    onScreen = { list: state.list, drawn: state.drawn };
    const all = rows.length, some = state.list.length < all;
    const worthy = some || all <= short ? state.list : state.list.filter(serious);
    state.list = worthy.slice(0, maxPrinted);
    body.replaceChildren();
    state.drawn = 0;
    draw(state.list.length);
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const d of closed) d.open = true;
    if (state.list.length <= short) $("sections").replaceChildren(...state.list.map(row => section(row, false)));
    $("sections").hidden = false;
    const many = n => `${n.toLocaleString("en")} ${data.unit}${n === 1 ? "" : "s"}`, notes = [];
    if (some) notes.push(`The table is limited to ${[state.query && `the search “${state.query}”`, state.facet && `the filter “${state.facet}”`].filter(Boolean).join(" and ")}.`);
    else if (all > short) notes.push(`The table lists only ${data.unit}s with errors or warnings.`);
    if (state.list.length < worthy.length) notes.push(`It ends after ${many(maxPrinted)}.`);
    if (state.list.length < all) notes.push(`It leaves out ${(all - state.list.length).toLocaleString("en")} of ${many(all)}.`);
    if (state.list.length > short) notes.push(`Details of each ${data.unit} are left out.`);
    if (document.querySelector(".inside > ul > li:nth-child(11), .places > li:nth-child(11)")) notes.push("At most 10 entries of each list of findings are printed.");
    if (notes.length) notes.push("The page on screen shows everything.");
    $("printed").textContent = notes.join(" ");
    $("printed").hidden = notes.length === 0;
  });
  addEventListener("afterprint", () => {
    if (!onScreen) return;
    for (const d of closed) d.open = false;
    $("sections").replaceChildren();
    $("sections").hidden = $("printed").hidden = true;
    Object.assign(state, { list: onScreen.list, drawn: 0 });
    body.replaceChildren();
    draw(onScreen.drawn);
    onScreen = undefined;
  });

  document.querySelector(".tools").hidden = false;
  refresh();
  follow();
  if (shown().has("q") || shown().has("filter")) toTable();
})();
