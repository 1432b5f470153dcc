"use strict";
/* What all pages share. Texts become nodes by textContent alone: nothing is parsed. */
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.querySelector("main");

function el(tag, options, ...children) {
  const node = document.createElement(tag);
  return filled(node, options, children);
}

function svg(tag, options, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return filled(node, options, children);
}

function filled(node, options, children) {
  for (const [name, value] of Object.entries(options || {})) {
    if (name === "style") Object.assign(node.style, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return node;
}

function section(title, ...children) {
  const node = el("section", { "aria-label": title }, el("h2", {}, title), ...children);
  root.append(node);
  return node;
}

/* A section that folds; which ones are open is remembered while the page is. */
function folding(title, isOpen, ...children) {
  const key = "open:" + title;
  const node = el("details", { class: "section" }, el("summary", {}, el("h2", {}, title)), ...children);
  const memory = recall(key);
  node.open = memory === null ? isOpen : memory === "1";
  node.addEventListener("toggle", () => remember(key, node.open ? "1" : "0"));
  root.append(node);
  return node;
}

function tiles(pairs) {
  return el("div", { class: "tiles" }, pairs.map(([value, what]) =>
    el("div", { class: "tile" }, el("b", {}, wrappable(value)), el("span", { class: "dim small" }, what))));
}

/* A page that was opened as a file may have no memory. */
function recall(key) {
  try { return sessionStorage.getItem(key); } catch { return null; }
}
function remember(key, value) {
  try { sessionStorage.setItem(key, value); } catch { /* it is forgotten */ }
}

function count(n) { return n.toLocaleString("en"); }
function plural(n, noun) { return `${count(n)} ${noun}${n === 1 ? "" : "s"}`; }

/* A number and its unit stay in one line. */
function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i += 1; }
  return `${i && n < 100 ? n.toPrecision(3) : Math.round(n)}\u00A0${units[i]}`;
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  const rounded = Number(value.toPrecision(digits));
  return Math.abs(rounded) < 1e9 ? rounded.toString() : rounded.toExponential();
}

function share(value) {
  if (typeof value !== "number") return String(value);
  if (value >= 10) return `${number(value)}\u00A0x`;
  const percent = value * 100;
  return `${percent >= 100 ? Math.round(percent) : number(percent, percent < 1 ? 2 : 3)}\u00A0%`;
}

/* Names of layers sort as people count: h.2 before h.10. */
const inOrder = new Intl.Collator("en", { numeric: true }).compare;

function rank(value) {
  if (value === "inf" || value === "nan") return Infinity;
  return value === null || value === undefined ? -Infinity : value;
}

function compare(a, b) {
  if (typeof a === "string" && typeof b === "string" && rank(a) !== Infinity && rank(b) !== Infinity)
    return inOrder(a, b);
  return rank(a) - rank(b) || 0;
}

/* A table whose heads sort it. Columns: {name, value(row), text(row), cell(row), isNumber}. */
function sortableTable(columns, options) {
  const body = el("tbody");
  const heads = columns.map((column, i) =>
    el("th", { class: column.isNumber ? "number" : null, scope: "col" },
      el("button", { type: "button", onclick: () => turn(i), title: column.about || null }, column.name)));
  const table = el("table", { class: options.isLong ? "stacked long" : "stacked" },
    el("caption", { class: "hidden" }, options.caption),
    el("thead", {}, el("tr", {}, heads)), body);
  let rows = options.rows, place = options.place ?? -1, isDown = options.isDown ?? false;

  function turn(i) {
    isDown = place === i ? !isDown : Boolean(columns[i].isNumber);
    place = i;
    draw();
  }

  function draw() {
    if (place >= 0) {
      const value = columns[place].value;
      rows = [...rows].sort((a, b) => compare(value(a), value(b)) * (isDown ? -1 : 1));
    }
    heads.forEach((head, i) => {
      const arrow = i === place ? (isDown ? " \u2193" : " \u2191") : "";
      head.firstChild.textContent = breakable(columns[i].name) + arrow;
      if (i === place) head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    body.replaceChildren(...rows.map(tableRow));
  }

  function tableRow(row) {
    return el("tr", {}, columns.map((column, i) => {
      const content = column.cell ? column.cell(row) : column.text ? column.text(row) : column.value(row);
      const isWide = String(content?.textContent ?? content ?? "").length > 24;
      const classes = [i ? "" : "name mono", column.isNumber ? "number" : "", isWide ? "wide" : ""].join(" ").trim();
      return el("td", { class: classes || null, "data-label": breakable(column.name) }, content ?? "");
    }));
  }

  draw();
  return { node: table, show(newRows) { rows = newRows; draw(); }, turn };
}

/* A long name goes on in the next line at a dot, not within a word. */
function wrappable(name) {
  return name.split(".").flatMap((part, i) => (i ? [el("wbr"), `.${part}`] : [part]));
}

/* A name may go on in the next line after each of its parts. */
function breakable(name) { return name.replace(/[/._]/g, "$&\u200b"); }

/* A row of controls: search, sort, and whatever else. */
function searchBox(label, onchange) {
  const box = el("input", { type: "search", placeholder: label, "aria-label": label,
    autocomplete: "off", spellcheck: "false" });
  box.addEventListener("input", () => onchange(box.value));
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) {
      event.preventDefault();
      box.focus();
    }
  });
  return box;
}

/* All words have to occur; a word with * is a pattern for a part of the name. */
function matcher(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const tests = words.map((word) => {
    if (!word.includes("*")) return (name) => name.includes(word);
    const parts = word.split(/\*+/).map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
    const pattern = new RegExp(parts.join(".*"));
    return (name) => pattern.test(name);
  });
  return (name) => tests.every((test) => test(name.toLowerCase()));
}

function badge(kind, isGrave, isNote) {
  return el("span", { class: `badge ${isGrave ? "grave" : isNote ? "" : "odd"}` }, kind);
}

/* Light, dark, or as the system has it. */
(function theme() {
  const names = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  let place = 0;
  try { place = Math.max(0, names.indexOf(localStorage.getItem("burnish-theme"))); } catch { /* auto */ }
  function show() {
    document.documentElement.dataset.theme = names[place];
    button.textContent = { auto: "\u25D0 auto", light: "\u25CB light", dark: "\u25CF dark" }[names[place]];
    button.setAttribute("aria-label", `colors: ${names[place]}`);
  }
  button.addEventListener("click", () => {
    place = (place + 1) % 3;
    try { localStorage.setItem("burnish-theme", names[place]); } catch { /* until it is closed */ }
    show();
  });
  show();
})();
