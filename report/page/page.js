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

  const rows = data.rows.map((row, index) => ({ ...row, index }));
  const text = row => row.text ??= [...row.cells, ...row.facts, ...(row.findings || []).flatMap(k => [data.findings[k].code, data.findings[k].message])]
    .map(v => v === null ? "" : Array.isArray(v) ? v.map(k => data.badges[k].text).join("\n") : v).join("\n").toLowerCase();

  const state = { query: "", facet: "", column: data.sort.column, down: data.sort.down, list: rows, drawn: 0 };
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
        a.href = "#row-" + row.index;
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
    const facet = state.facet === "" ? -1 : Number(state.facet);
    state.list = rows.filter(row => (facet < 0 || row.facets.includes(facet)) && words.every(w => text(row).includes(w))).sort(compare);
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
        b.addEventListener("click", () => { location.hash = "row-" + to.index; });
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

  // The fragment selects what is shown: #row-12, #facet-3.
  function follow() {
    const [, what, number] = /^#(row|facet)-(\d+)$/.exec(location.hash) || [];
    if (what === "row" && rows[number]) {
      const pressed = $("one").contains(document.activeElement) ? document.activeElement.textContent : "";
      $("one-inside").replaceChildren(section(rows[number], true));
      if (!$("one").open) $("one").showModal();
      else {
        // Keep the keyboard focus on the pressed button.
        const buttons = [...$("one").querySelectorAll(".bar button")];
        (buttons.find(b => b.textContent === pressed && !b.disabled) || buttons[buttons.length - 1]).focus();
      }
      $("one").scrollTop = 0;
    } else if (what === "facet" && data.facets[number]) {
      state.facet = $("filter").value = number;
      state.query = $("search").value = "";
      refresh();
      $("table").scrollIntoView();
      $("table").focus({ preventScroll: true });
      history.replaceState(null, "", location.pathname + location.search);
    }
  }
  $("one").addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
  $("one").addEventListener("click", e => { if (e.target === $("one")) $("one").close(); });
  addEventListener("hashchange", follow);

  // Search and filter.
  const kinds = new Map();
  data.facets.forEach((facet, k) => {
    if (facet.count === 0) return;
    if (!kinds.has(facet.kind)) {
      const group = make("optgroup");
      group.label = facet.kind;
      kinds.set(facet.kind, group);
      $("filter").append(group);
    }
    const option = make("option", "", facet.label + " (" + facet.count + ")");
    option.value = k;
    kinds.get(facet.kind).append(option);
  });
  $("search").addEventListener("input", e => { state.query = e.target.value; refresh(); });
  $("filter").addEventListener("change", e => { state.facet = e.target.value; refresh(); });
  $("clear").addEventListener("click", () => {
    state.query = state.facet = $("search").value = $("filter").value = "";
    refresh();
    $("search").focus();
  });
  addEventListener("keydown", e => {
    if (e.key === "/" && !e.ctrlKey && !e.metaKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      e.preventDefault();
      $("search").focus();
    }
  });

  // For printing, draw all rows and, if there are few, their sections.
  const fewEnoughToPrint = 200;
  let closed = [];
  addEventListener("beforeprint", () => {
    draw(state.list.length);
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const d of closed) d.open = true;
    if (state.list.length <= fewEnoughToPrint) $("sections").replaceChildren(...state.list.map(row => section(row, false)));
    $("sections").hidden = false;
  });
  addEventListener("afterprint", () => {
    for (const d of closed) d.open = false;
    $("sections").replaceChildren();
    $("sections").hidden = true;
  });

  document.querySelector(".tools").hidden = false;
  refresh();
  follow();
})();
