/* A comparison: which layers moved, as a heat map, and each tensor in a table. */
const changed = data.changed;
const most = data.layers[0];

function finite(value) { return typeof value === "number" ? value : 1; }

(function verdict() {
  root.append(
    el("p", { class: "small" }, el("b", {}, "A "), el("span", { class: "mono" }, data.a)),
    el("p", { class: "small" }, el("b", {}, "B "), el("span", { class: "mono" }, data.b)),
    el("p", { class: data.same ? "good" : "" }, `${data.same ? "\u2713 " : ""}${data.summary}.`));
  const pairs = [
    [count(data.nChanged), "tensors with other values"],
    [count(data.nEqual), "with the same values"],
  ];
  if (most && data.layers.length > 1) pairs.unshift([most.name, `moved most: ${share(most.moved)}`]);
  for (const [title, , n] of data.sections) pairs.push([count(n), title[0].toLowerCase() + title.slice(1)]);
  root.append(tiles(pairs));
})();

/* Paths with a number are of a layer; each list of layers is a map. */
const lists = new Map(), others = [];
function put(name, cell) {
  const parts = name.match(/^((?:[^.]+\.)*?)(\d+)\.(.+)$/);
  if (!parts) { others.push({ name, ...cell }); return; }
  const [, prefix, place, rest] = parts;
  if (!lists.has(prefix)) lists.set(prefix, { columns: new Set(), rows: new Map() });
  const list = lists.get(prefix);
  list.columns.add(place);
  if (!list.rows.has(rest)) list.rows.set(rest, new Map());
  list.rows.get(rest).set(place, { name, ...cell });
}
changed.forEach((tensor) => put(tensor.name, tensor));
data.equal.forEach((name) => put(name, { moved: 0 }));

/* The layer that moved most has the full color: one bias that was near 0 hides none. */
const furthest = Math.min(1, Math.max(1e-12, ...data.layers.map((layer) => finite(layer.moved))));
function heat(moved) {
  const part = Math.min(1, finite(moved) / furthest) ** .7;
  return `color-mix(in oklab, var(--hot) ${(part * 100).toFixed(1)}%, var(--cold))`;
}

(function heatMap() {
  if (!changed.length) return;
  const node = section("Layers");
  if (most && data.layers.length > 1) {
    const next = data.layers[1];
    node.append(el("p", {},
      el("button", { type: "button", class: "link mono", onclick: () => find(`${most.name}.`) }, most.name),
      ` moved most: by ${share(most.moved)} of its norm; the next one is ${next.name} with ${share(next.moved)}.`));
  }
  node.append(el("div", { class: "scale" }, el("span", {}, "unmoved"),
    el("i", { style: { background: "linear-gradient(to right, var(--cold), var(--hot))" } }),
    el("span", {}, `moved by ${share(furthest)} or more`)));
  const byName = new Map(data.layers.map((layer) => [layer.name, layer]));
  for (const [prefix, list] of lists) {
    if (list.columns.size < 2) {
      for (const row of list.rows.values()) others.push(...row.values());
      continue;
    }
    node.append(map(prefix, list, byName));
  }
  if (others.length) {
    others.sort((a, b) => inOrder(a.name, b.name));
    const rows = others.slice(0, 200).map((cell) => el("tr", {},
      el("th", { class: "row mono", scope: "row" }, cell.name),
      el("td", {}, square(cell, "4rem")), el("td", { class: "small dim" }, cell.moved === 0 ? "equal" : share(cell.moved))));
    node.append(el("h3", {}, "Outside of layers"), el("div", { class: "heat" }, el("table", {}, el("tbody", {}, rows))));
    if (others.length > 200) node.append(el("p", { class: "dim small" }, `... ${count(others.length - 200)} more are in the table`));
  }
})();

function square(cell, width, isMost) {
  const text = `${cell.name}: ${cell.moved === 0 ? "equal" : `moved by ${share(cell.moved)}`}`;
  return el("button", { type: "button", title: text, "aria-label": text, class: isMost ? "most" : null,
    style: { background: heat(cell.moved), minWidth: width || "" }, onclick: () => find(cell.isLayer ? `${cell.name}.` : cell.name) });
}

function map(prefix, list, byName) {
  const columns = [...list.columns].sort(inOrder);
  const every = Math.ceil(columns.length / 24);
  const head = el("tr", {}, el("th", { class: "row" }, prefix.replace(/\.$/, "") || "layer"),
    columns.map((column, i) => el("th", { class: "column", scope: "col" }, i % every ? "" : column)));
  const whole = el("tr", { class: "whole" }, el("th", { class: "row", scope: "row" }, "all of it"),
    columns.map((column) => {
      const name = prefix + column, layer = byName.get(name) || { name, moved: 0 };
      return el("td", {}, square({ ...layer, isLayer: true }, "", most && name === most.name));
    }));
  const rows = [...list.rows].sort((a, b) => inOrder(a[0], b[0])).map(([rest, cells]) => el("tr", {}, el("th", { class: "row mono", scope: "row" }, rest),
    columns.map((column) => cells.has(column) ? el("td", {}, square(cells.get(column))) : el("td", { class: "none" }))));
  return el("div", { class: "heat", tabindex: 0, role: "region", "aria-label": `heat map of ${prefix || "layers"}` },
    el("table", {}, el("thead", {}, head), el("tbody", {}, whole, rows)));
}

/* A cosine that is rounded to 1 would tell that nothing turned. */
function cosineText(cosine) {
  if (Math.abs(cosine) >= 1 || Math.abs(cosine) <= .99999) return number(cosine, 5);
  return cosine > 0 ? ">0.99999" : "<-0.99999";
}

let find = () => {};
(function table() {
  if (!changed.length) return;
  const node = section("Tensors that differ");
  const search = searchBox("search: a part of a name, or h.*.bias", draw);
  const status = el("p", { class: "dim small", role: "status" });
  const ofMoved = (tensor) => {
    const bar = el("span", { class: "meter", style: { width: `${Math.min(1, finite(tensor.moved) / furthest) * 3.5}rem` } });
    return el("span", {}, bar, share(tensor.moved));
  };
  const list = sortableTable([
    { name: "tensor", value: (tensor) => tensor.name },
    { name: "moved", isNumber: true, value: (tensor) => tensor.moved, cell: ofMoved, about: "the norm of the difference by that of A" },
    { name: "max abs", isNumber: true, value: (tensor) => tensor.maxAbs, text: (tensor) => number(tensor.maxAbs), about: "the largest difference of a value" },
    { name: "max rel", isNumber: true, value: (tensor) => tensor.maxRel, text: (tensor) => number(tensor.maxRel), about: "the largest difference by the larger of the two values: 0 to 2" },
    { name: "cosine", isNumber: true, value: (tensor) => tensor.cosine, text: (tensor) => cosineText(tensor.cosine) },
    { name: "changed", isNumber: true, value: (tensor) => tensor.share, text: (tensor) => share(tensor.share), about: "the share of values that are not equal" },
    { name: "numbers", isNumber: true, value: (tensor) => tensor.n, text: (tensor) => count(tensor.n) },
  ], { rows: changed, caption: "tensors that differ", place: 1, isDown: true });
  const order = el("select", { "aria-label": "order", onchange: () => list.turn(order.selectedIndex) },
    ["name", "moved", "max abs", "max rel", "cosine", "changed", "numbers"].map((name, i) => el("option", { selected: i === 1 }, name)));
  node.append(el("div", { class: "tools" }, search, el("label", {}, "order", order)), status, list.node);
  if (data.note) node.append(el("p", { class: "dim small" }, data.note));

  function draw() {
    const matches = matcher(search.value);
    const rows = changed.filter((tensor) => matches(tensor.name));
    list.show(rows);
    status.textContent = `${count(rows.length)} of ${plural(changed.length, "tensor")}`;
  }
  find = (text) => {
    search.value = text;
    draw();
    node.scrollIntoView({ block: "start" });
    search.focus({ preventScroll: true });
  };
  draw();
})();

for (const [title, lines, n, left] of data.sections) {
  const rest = left ? [el("li", { class: "dim" }, `... ${count(left)} more`)] : [];
  folding(`${title} (${count(n)})`, lines.length <= 12,
    el("ul", { class: "plain small" }, lines.map((line) => el("li", { class: "mono" }, el("span", { class: "what" }, line))), rest));
}
