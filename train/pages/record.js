/* A record: what stands out, sizes as a map, and each tensor's values as a picture. */
const tensors = data.tensors;
const marked = tensors.filter((tensor) => tensor.odd && !tensor.odd.every((odd) => odd.isNote));
const notes = tensors.filter((tensor) => tensor.odd && tensor.odd.every((odd) => odd.isNote));
tensors.forEach((tensor, i) => { tensor.place = i; });

function classOf(tensor) {
  if (!tensor.odd) return "";
  if (tensor.odd.some((odd) => odd.isGrave)) return "grave";
  return tensor.odd.every((odd) => odd.isNote) ? "" : "odd";
}

(function facts() {
  root.append(...data.lines.map((line) =>
    el("p", { class: line.startsWith(" ") ? "dim small" : "small" }, line.trim())));
  root.append(tiles([
    [count(data.nTensors), data.nTensors === 1 ? "tensor" : "tensors"],
    [count(data.nValues), "numbers"],
    [bytes(data.nBytes), data.dtypes],
    [count(marked.length + data.nMarkedHidden), "stand out"],
  ]));
})();

(function standingOut() {
  const node = section("What stands out");
  if (!marked.length && !data.nMarkedHidden)
    node.append(el("p", { class: "good" }, "\u2713 No dead tensor, no outlier, no NaN and no infinity."));
  const order = [...marked].sort((a, b) => (classOf(b) === "grave") - (classOf(a) === "grave") || a.place - b.place);
  const list = (some) => el("ul", { class: "plain" }, some.map((tensor) => el("li", {},
    tensor.odd.map((odd) => badge(odd.kind, odd.isGrave, odd.isNote)),
    el("span", { class: "what" },
      el("button", { class: "link mono", type: "button", onclick: () => goTo(tensor) }, tensor.name),
      el("span", { class: "small" }, " \u00B7 " + tensor.odd.map((odd) => odd.text).join("; "))))));
  if (order.length) node.append(list(order.slice(0, 10)));
  if (order.length > 10) node.append(el("details", {},
    el("summary", {}, `${count(order.length - 10)} more`), list(order.slice(10))));
  if (notes.length) node.append(el("details", {},
    el("summary", { class: "dim" }, `${plural(notes.length, "vector")} with one value everywhere, as biases and norms have at first`),
    list(notes)));
  node.append(el("details", {}, el("summary", { class: "dim" }, "What is marked, and when"),
    el("ul", {}, data.rules.map(([kind, text]) => el("li", { class: "small" }, el("b", {}, kind), `: ${text}`)))));
  if (data.note) node.append(el("p", { class: "dim small" }, data.note));
})();

/* The map of sizes: areas are bytes, frames are modules. */
(function map() {
  const most = 11;
  const top = { name: "", below: new Map(), size: 0, path: "" };
  for (const tensor of tensors) {
    const parts = tensor.name.split(".");
    const names = parts.length > most ? [...parts.slice(0, most), parts.slice(most).join(".")] : parts;
    let place = top;
    top.size += tensor.bytes;
    names.forEach((name, i) => {
      const path = names.slice(0, i + 1).join(".");
      if (!place.below.has(name)) place.below.set(name, { name, below: new Map(), size: 0, path });
      place = place.below.get(name);
      place.size += tensor.bytes;
    });
    place.tensor = tensor;
  }
  const node = section("Sizes",
    el("p", { class: "dim small" }, "Areas are bytes, colors are roles: what recurs in each layer has one color. Choose one to see its values; arrow keys go on to the next."));
  const area = el("div", { class: "map", role: "group", "aria-label": "sizes of tensors by module" });
  node.append(area);

  function shortened(branch) {
    while (!branch.tensor && branch.below.size === 1) {
      const [child] = branch.below.values();
      branch = { ...child, name: branch.name ? `${branch.name}.${child.name}` : child.name };
    }
    return branch;
  }

  /* Rows of cells that are as square as may be (Bruls, Huizing and van Wijk, 2000). */
  function squarified(items, x, y, width, height) {
    const cells = [];
    let rest = items.reduce((sum, item) => sum + item.size, 0), start = 0;
    while (start < items.length && rest > 0 && width > 0 && height > 0) {
      const side = Math.min(width, height), scale = width * height / rest;
      let end = start, sum = 0, worst = Infinity;
      while (end < items.length) {
        const next = sum + items[end].size;
        const row = next * scale / side;
        const [large, small] = [items[start].size * scale, items[end].size * scale];
        const ratio = Math.max(large / (row * row), row * row / small);
        if (ratio > worst) break;
        worst = ratio; sum = next; end += 1;
      }
      const depth = sum * scale / side;
      let along = 0;
      for (const item of items.slice(start, end)) {
        const length = item.size * scale / depth;
        cells.push(width >= height
          ? [item, x, y + along, depth, length] : [item, x + along, y, length, depth]);
        along += length;
      }
      if (width >= height) { x += depth; width -= depth; } else { y += depth; height -= depth; }
      rest -= sum; start = end;
    }
    return cells;
  }

  function position(node, x, y, width, height) {
    Object.assign(node.style, { left: `${x}px`, top: `${y}px`, width: `${Math.max(0, width - 1)}px`, height: `${Math.max(0, height - 1)}px` });
    return node;
  }

  /* What has one role in every layer has one color: names without their numbers. */
  const roles = new Map();
  for (const tensor of [...tensors].sort((a, b) => b.bytes - a.bytes)) {
    const role = tensor.name.replace(/\d+/g, "#");
    if (!roles.has(role)) roles.set(role, roles.size < 6 ? roles.size : null);
    tensor.color = roles.get(role) === null ? "" : `k${roles.get(role)}`;
  }

  /* A layer's weight goes by the name of the layer. */
  function labeled(branch) {
    if (!branch.below.size || [...branch.below.values()].some((child) => !child.tensor)) return false;
    for (const child of branch.below.values())
      child.label = child.name === "weight" ? branch.name : `${branch.name}.${child.name}`;
    return true;
  }

  function draw() {
    const width = area.clientWidth, height = Math.max(260, Math.min(460, width * .42));
    area.style.height = `${height}px`;
    const nodes = [];

    function place(branch, x, y, w, h, depth) {
      branch = shortened(branch);
      if (w < 2 || h < 2) return;
      if (branch.tensor) { nodes.push(cell(branch, x, y, w, h)); return; }
      const hasHead = !labeled(branch) && branch.name && w > 46 && h > 34;
      if (hasHead) {
        const head = el("div", { title: `${branch.path}: ${bytes(branch.size)}` }, branch.name);
        nodes.push(position(head, x, y, w, 16));
      }
      const shift = hasHead ? 16 : 0, inset = depth ? 1 : 0;
      const items = [...branch.below.values()].filter((item) => item.size > 0).sort((a, b) => b.size - a.size);
      for (const [item, cx, cy, cw, ch] of squarified(items, x, y + shift, w - inset, h - shift - inset))
        place(item, cx, cy, cw, ch, depth + 1);
    }

    function cell(branch, x, y, w, h) {
      const tensor = branch.tensor, mark = classOf(tensor);
      const label = `${tensor.name}, ${bytes(tensor.bytes)}, ${share(tensor.bytes / (top.size || 1))} of all`;
      const kinds = mark ? `, ${tensor.odd.map((odd) => odd.kind).join(", ")}` : "";
      const text = w > 34 && h > 13 ? (mark ? `\u25B2 ${branch.label || branch.name}` : branch.label || branch.name) : "";
      const button = el("button", { type: "button", class: `${tensor.color} ${mark}`, tabindex: -1,
        title: label + kinds, "aria-label": label + kinds, onclick: () => goTo(tensor) }, text);
      return position(button, x, y, w, h);
    }

    place(top, 0, 0, width, height, 0);
    area.replaceChildren(...nodes);
    const first = area.querySelector("button");
    if (first) first.tabIndex = 0;
  }

  area.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const cells = [...area.querySelectorAll("button")];
    const next = cells[cells.indexOf(document.activeElement) + step];
    if (next) {
      document.activeElement.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
    event.preventDefault();
  });
  new ResizeObserver(() => { if (area.clientWidth !== draw.width) { draw.width = area.clientWidth; draw(); } }).observe(area);
})();

/* Bars between the ends of the middle; what lies far out is a mark at the edge. */
function histogram(tensor) {
  const width = 120, height = 36, bins = tensor.bins;
  const picture = svg("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": spoken(tensor) });
  if (!bins) {
    if (tensor.min !== null)
      picture.append(svg("path", { class: classOf(tensor) ? "dead" : null, d: `M${width / 2 - 1} ${height}V1h2V${height}zM0 ${height}v-.7h${width}v.7z` }));
    return picture;
  }
  const [low, high] = tensor.ends, step = width / bins.length;
  const steps = bins.map((bin, i) => `V${(height * (1 - bin / 100)).toFixed(1)}H${((i + 1) * step).toFixed(1)}`);
  picture.append(svg("path", { d: `M0 ${height}${steps.join("")}V${height}z` }));
  if (low < 0 && high > 0) {
    const zero = (-low / (high - low) * width).toFixed(1);
    picture.append(svg("line", { x1: zero, x2: zero, y1: 0, y2: height }));
  }
  if (tensor.beyond[0]) picture.append(svg("path", { class: "beyond", d: `M0 ${height}l7 -6v12z`, transform: "translate(0 -8)" }));
  if (tensor.beyond[1]) picture.append(svg("path", { class: "beyond", d: `M${width} ${height}l-7 -6v12z`, transform: "translate(0 -8)" }));
  return picture;
}

function spoken(tensor) {
  if (tensor.min === null) return "no finite values";
  if (tensor.min === tensor.max) return `one value, ${number(tensor.min)}`;
  return `histogram of values from ${number(tensor.min)} to ${number(tensor.max)}, mean ${number(tensor.mean)}, standard deviation ${number(tensor.std)}`;
}

/* A mean far below the deviation is 0 beside it, and has room. */
function meanText({ mean, std }) {
  if (typeof mean !== "number" || typeof std !== "number") return number(mean, 2);
  const places = Math.min(100, Math.max(0, 1 - Math.floor(Math.log10(std))));
  return number(Number(mean.toFixed(places)), 2);
}

const cards = new Map();

function card(tensor) {
  if (cards.has(tensor)) return cards.get(tensor);
  const [low, high] = tensor.ends || [tensor.min, tensor.max];
  const node = el("article", { class: `card ${classOf(tensor)}`, tabindex: -1, "aria-label": tensor.name },
    el("h3", { class: "mono" }, wrappable(tensor.name)),
    (tensor.odd || []).map((odd) => el("div", { class: "small" }, badge(odd.kind, odd.isGrave, odd.isNote), ` ${odd.text}`)),
    histogram(tensor),
    el("div", { class: "ends" },
      el("span", {}, number(low)),
      el("span", {}, tensor.std === null || low === high ? "" : `${meanText(tensor)} \u00B1 ${number(tensor.std, 2)}`),
      el("span", {}, low === high ? "" : number(high))),
    el("div", { class: "dim small" }, `${tensor.shape} ${tensor.dtype} \u00B7 ${bytes(tensor.bytes)}`));
  cards.set(tensor, node);
  return node;
}

let goTo;
(function values() {
  const orders = {
    "as stored": [(tensor) => tensor.place, false],
    "odd ones first": [(tensor) => ["", "odd", "grave"].indexOf(classOf(tensor)), true],
    "name": [(tensor) => tensor.name, false],
    "size": [(tensor) => tensor.bytes, true],
    "standard deviation": [(tensor) => tensor.std, true],
    "largest value": [(tensor) => tensor.min === null ? null : Math.max(Math.abs(tensor.min), Math.abs(tensor.max)), true],
    "zeros": [(tensor) => tensor.zeros / tensor.n, true],
  };
  const node = section("Values");
  const search = searchBox("search: a part of a name, or h.*.bias", draw);
  const order = el("select", { "aria-label": "order", onchange: draw },
    Object.keys(orders).map((name) => el("option", {}, name)));
  const only = el("input", { type: "checkbox", onchange: draw });
  const view = el("button", { type: "button", "aria-pressed": "false", onclick: () => {
    view.setAttribute("aria-pressed", String(view.getAttribute("aria-pressed") !== "true"));
    draw();
  } }, "as a table");
  const status = el("p", { class: "dim small", role: "status" });
  const grid = el("div", { class: "cards" });
  const name = { name: "tensor", value: (tensor) => tensor.name, cell: (tensor) =>
    [tensor.name, " ", (tensor.odd || []).map((odd) => badge(odd.kind, odd.isGrave, odd.isNote))].flat() };
  const numbers = ["mean", "std", "min", "max"].map((key) =>
    ({ name: key, isNumber: true, value: (tensor) => tensor[key], text: (tensor) => number(tensor[key]) }));
  const table = sortableTable([
    name,
    { name: "shape", value: (tensor) => tensor.n, text: (tensor) => tensor.shape, isNumber: true },
    { name: "dtype", value: (tensor) => tensor.dtype },
    { name: "size", value: (tensor) => tensor.bytes, text: (tensor) => bytes(tensor.bytes), isNumber: true },
    ...numbers,
    { name: "zeros", isNumber: true, value: (tensor) => tensor.zeros, text: (tensor) => tensor.zeros ? count(tensor.zeros) : "" },
  ], { rows: [], caption: "tensors and their statistics" });
  node.append(el("div", { class: "tools" }, search,
    el("label", {}, "order", order), el("label", {}, only, "odd ones alone"), view),
  status, grid, table.node);

  function draw() {
    const matches = matcher(search.value), [value, isDown] = orders[order.value];
    const rows = tensors.filter((tensor) => matches(tensor.name) && (!only.checked || classOf(tensor)));
    rows.sort((a, b) => compare(value(a), value(b)) * (isDown ? -1 : 1) || a.place - b.place);
    const isTable = view.getAttribute("aria-pressed") === "true";
    grid.replaceChildren(...(isTable ? [] : rows.map(card)));
    table.node.hidden = !isTable;
    if (isTable) table.show(rows);
    status.textContent = `${count(rows.length)} of ${plural(tensors.length, "tensor")}`;
  }

  goTo = (tensor) => {
    search.value = tensor.name;
    only.checked = false;
    view.setAttribute("aria-pressed", "false");
    draw();
    node.scrollIntoView({ block: "start" });
    card(tensor).focus({ preventScroll: true });
  };
  draw();
})();
