/* A sweep: each run as a line over axes of settings and results, and a table that sorts. */
const runs = data.runs;
const failed = runs.filter((run) => run.problem);
const validation = data.metrics.filter((name) => name.startsWith("validation/"));
const shown = validation.length ? validation : data.metrics;
let goal = shown.find((name) => name.endsWith("loss")) ?? shown[0] ?? "";
let isLower = lowerIsBetter(goal), words = "", selected = null;
const ranges = new Map();
runs.forEach((run) => { run.text = [run.name, run.problem, ...data.params.map((key, i) => `${key}=${run.params[i]}`)].join(" "); });

function lowerIsBetter(name) { return /loss|err|mse|mae|nll|perplex|cost/i.test(name); }
function last(run, name) { return run.metrics[name]?.last ?? null; }
function best(run) { return run.metrics[goal]?.[isLower ? "lowest" : "highest"] ?? null; }
function isNumber(value) { return typeof value === "number"; }
function time(seconds) {
  if (!isNumber(seconds)) return "";
  return seconds < 60 ? `${number(seconds)} s` : seconds < 3600 ? `${number(seconds / 60)} min` : `${number(seconds / 3600)} h`;
}

const facts = el("div");
root.append(facts);
if (data.same.length) root.append(el("p", { class: "dim small" }, "All runs: ", el("span", { class: "mono" }, data.same.map(([key, value]) => `${key}=${value}`).join("  "))));
if (data.n_older) root.append(el("p", { class: "dim small" }, data.n_older === 1 ? "One run of an earlier sweep in this folder is not shown." : `${count(data.n_older)} runs of an earlier sweep in this folder are not shown.`));

function winner() {
  const able = runs.filter((run) => isNumber(best(run)));
  return able.reduce((a, b) => (a === null || (isLower ? best(b) < best(a) : best(b) > best(a)) ? b : a), null);
}

function drawTop() {
  const first = winner();
  facts.replaceChildren(tiles([
    [count(runs.length), runs.length === 1 ? "run" : "runs"],
    ...(failed.length ? [[count(failed.length), "failed"]] : []),
    ...(first ? [[number(best(first), 4), `best ${goal}`], [`run ${first.name}`, data.params.map((key, i) => `${key}=${first.params[i] ?? ""}`).join(", ")]] : []),
  ]));
}

/* Axes: a value has a place of 0 to 1 on each, or none. */
function axisOf(name, value) {
  const values = runs.map(value).filter((v) => v !== null && v !== undefined);
  const numbers = values.filter(isNumber);
  if (numbers.length && numbers.length === values.filter((v) => v !== "nan" && v !== "inf" && v !== "-inf").length) {
    const low = Math.min(...numbers), high = Math.max(...numbers);
    const isLog = low > 0 && high / low >= 50;
    const f = isLog ? Math.log : (x) => x;
    const place = (v) => (!isNumber(v) ? null : low === high ? 0.5 : (f(v) - f(low)) / (f(high) - f(low)));
    const distinct = [...new Set(numbers)].sort((a, b) => a - b);
    const ticks = distinct.length <= 6 ? distinct : [low, isLog ? Math.sqrt(low * high) : (low + high) / 2, high];
    return { name: isLog ? `${name} (log)` : name, value, place, ticks: spaced(ticks.map((t) => [place(t), number(t, 4)])) };
  }
  const texts = [...new Set(values.map(String))].sort(inOrder);
  const place = (v) => (v === null || v === undefined ? null : texts.length < 2 ? 0.5 : texts.indexOf(String(v)) / (texts.length - 1));
  const every = Math.ceil(texts.length / 12);
  return { name, value, place, ticks: texts.filter((_, i) => i % every === 0).map((t) => [place(t), t]) };
}

/* Marks that would stand on each other are left out. */
function spaced(ticks, least = 0.07) {
  const kept = [];
  for (const tick of ticks) if (!kept.length || tick[0] - kept[kept.length - 1][0] > least) kept.push(tick);
  return kept;
}

const axes = [
  ...data.params.map((key, i) => axisOf(key, (run) => run.params[i])),
  ...shown.slice(0, 6).map((name) => axisOf(name, (run) => last(run, name))),
];

function isKept(run) {
  if (!matcher(words)(run.text)) return false;
  return [...ranges].every(([axis, [low, high]]) => {
    const place = axis.place(axis.value(run));
    return place !== null && place >= low && place <= high;
  });
}

function color(run) {
  const places = runs.map(best).filter(isNumber);
  const low = Math.min(...places), high = Math.max(...places), value = best(run);
  if (!isNumber(value)) return "var(--dim)";
  const t = low === high ? 0 : (value - low) / (high - low);
  return `color-mix(in oklab, var(--good) ${Math.round(100 * (isLower ? 1 - t : t))}%, var(--grave))`;
}

const chart = el("div");

function shorten(text, most) { return text.length <= most ? text : `${text.slice(0, most - 1)}\u2026`; }

function drawLines() {
  const width = Math.max(280, chart.clientWidth || 900);
  /* Where axes would stand too close, they lie below each other. */
  const isFlat = width / axes.length < 105;
  const height = isFlat ? 40 + axes.length * 70 : 330;
  const [left, right, above, below] = isFlat ? [14, 14, 30, 26] : [40, 70, 34, 14];
  const step = (isFlat ? height - above - below : width - left - right) / Math.max(1, axes.length - 1);
  const at = (i, t) => (isFlat ? [left + t * (width - left - right), above + i * step] : [left + i * step, height - below - t * (height - above - below)]);
  const picture = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "each run as a line over settings and results" });
  const lines = svg("g");
  const order = [...runs].sort((a, b) => isKept(a) - isKept(b) || (a === selected) - (b === selected));
  for (const run of order) {
    const points = axes.map((axis, i) => { const t = axis.place(axis.value(run)); return t === null ? null : at(i, t); });
    const path = points.map((p, i) => (p ? `${i && points[i - 1] ? "L" : "M"}${p[0].toFixed(1)},${p[1].toFixed(1)}` : "")).join("");
    const isOn = isKept(run);
    const line = svg("path", { class: "curve run", d: path, style: {
      stroke: isOn ? color(run) : "var(--line)", strokeWidth: run === selected ? "4" : "1.8", opacity: selected && run !== selected ? "0.35" : "0.9" } },
      svg("title"));
    line.firstChild.textContent = `run ${run.name}`;
    line.addEventListener("click", () => select(run));
    lines.append(line);
  }
  const marks = svg("g");
  axes.forEach((axis, i) => marks.append(...drawAxis(axis, i, at, isFlat, step)));
  picture.append(lines, marks);
  chart.replaceChildren(picture);
}

function text(x, y, content, anchor) {
  const node = svg("text", { x, y, "text-anchor": anchor });
  node.textContent = content;
  return node;
}

function drawAxis(axis, i, at, isFlat, step) {
  const [x0, y0] = at(i, 0), [x1, y1] = at(i, 1);
  const nodes = [svg("line", { class: "cursor", x1: x0, y1: y0, x2: x1, y2: y1 })];
  const name = isFlat ? text(x0, y0 - 8, shorten(axis.name, 44), "start") : text(x1, y1 - 14, shorten(axis.name, Math.max(8, Math.floor(step / 6.5))), i === 0 ? "start" : "middle");
  if (!isFlat && i === 0) name.setAttribute("x", 4);
  name.style.fontWeight = "600";
  name.append(svg("title"));
  name.lastChild.textContent = axis.name;
  nodes.push(name);
  for (const [t, label] of isFlat ? spaced(axis.ticks, 0.2) : axis.ticks) {
    const [x, y] = at(i, t);
    nodes.push(isFlat ? text(x, y + 15, shorten(label, 12), t < 0.1 ? "start" : t > 0.9 ? "end" : "middle") : text(x + 6, y + 4, shorten(label, Math.max(6, Math.floor(step / 8))), "start"));
  }
  const range = ranges.get(axis);
  if (range) {
    const [a, b] = [at(i, range[0]), at(i, range[1])];
    nodes.push(svg("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], style: { stroke: "var(--accent)", strokeWidth: "7", opacity: "0.55" } }));
  }
  const grip = isFlat ? svg("rect", { x: x0 - 8, y: y0 - 8, width: x1 - x0 + 16, height: 16 }) : svg("rect", { x: x0 - 8, y: y1 - 8, width: 16, height: y0 - y1 + 16 });
  Object.assign(grip.style, { fill: "transparent", cursor: "crosshair", touchAction: "none" });
  brush(grip, axis, (px, py) => (isFlat ? (px - x0) / (x1 - x0) : (y0 - py) / (y0 - y1)));
  nodes.push(grip);
  return nodes;
}

/* Drawing along an axis keeps the runs there; a click on it lets all come back. */
function brush(grip, axis, place) {
  grip.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    const box = chart.firstChild.getBoundingClientRect(), size = chart.firstChild.viewBox.baseVal;
    const where = (e) => Math.min(1.02, Math.max(-0.02, place((e.clientX - box.left) * size.width / box.width, (e.clientY - box.top) * size.height / box.height)));
    const start = where(event);
    const move = (e) => {
      const end = where(e);
      if (Math.abs(end - start) < 0.02) ranges.delete(axis);
      else ranges.set(axis, [Math.min(start, end), Math.max(start, end)]);
      draw();
    };
    const stop = (e) => { move(e); removeEventListener("pointermove", move); removeEventListener("pointerup", stop); };
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop);
  });
}

function select(run) {
  selected = selected === run ? null : run;
  draw();
}

const columns = [
  { name: "run", value: (run) => run.name, cell: (run) => (run.report ? el("a", { href: run.report }, run.name) : run.name) },
  ...data.params.map((key, i) => ({ name: key, value: (run) => run.params[i], text: (run) => number(run.params[i], 6), isNumber: runs.every((run) => isNumber(run.params[i]) || [null, "nan", "inf", "-inf"].includes(run.params[i])) })),
  ...(failed.length ? [{ name: "ended", value: (run) => run.problem, cell: (run) => (run.problem ? el("span", { class: "grave" }, run.problem) : "") }] : []),
  /* What has no value comes last. */
  { name: "best", value: (run) => best(run) ?? (isLower ? Infinity : -Infinity), text: (run) => number(best(run), 4), isNumber: true, about: "the best value of what lines are colored by" },
  ...[...shown, ...data.metrics.filter((name) => !shown.includes(name))].map((name) => ({ name, value: (run) => last(run, name), text: (run) => number(last(run, name), 4), isNumber: true, about: "the last value" })),
  { name: "epochs", value: (run) => run.epochs, isNumber: true },
  { name: "time", value: (run) => run.seconds, text: (run) => time(run.seconds), isNumber: true },
  { name: "line", value: (run) => Number(run === selected), cell: (run) => el("button", { type: "button", class: "link", "aria-pressed": String(run === selected), onclick: () => select(run) }, run === selected ? "let go" : "mark") },
];
const table = sortableTable(columns, { caption: "runs of the sweep", rows: runs, place: columns.findIndex((c) => c.name === "best"), isDown: !isLower });

function chooseGoal(name, isLow) {
  goal = name;
  isLower = isLow;
  direction.value = isLower ? "lower" : "higher";
  draw();
}

const goals = el("select", { "aria-label": "metric", onchange: () => chooseGoal(goals.value, lowerIsBetter(goals.value)) },
  data.metrics.map((name) => el("option", { value: name, selected: name === goal }, name)));
const direction = el("select", { "aria-label": "direction", onchange: () => chooseGoal(goal, direction.value === "lower") },
  ["lower", "higher"].map((word) => el("option", { value: word, selected: (word === "lower") === isLower }, `${word} is better`)));
const tally = el("span", { class: "dim small" });
const clear = el("button", { type: "button", onclick: () => { ranges.clear(); selected = null; draw(); } }, "show all");

function draw() {
  drawTop();
  if (axes.length > 1) drawLines();
  const kept = runs.filter(isKept);
  tally.textContent = kept.length === runs.length ? "" : `${count(kept.length)} of ${count(runs.length)} runs`;
  clear.hidden = !ranges.size && !selected;
  table.show(kept);
}

root.append(el("div", { class: "tools" },
  searchBox("find runs: name, lr=0.1   ( / )", (value) => { words = value; draw(); }),
  data.metrics.length ? [el("label", {}, "color by ", goals), direction] : null, clear, tally));
if (axes.length > 1) section("Runs as lines",
  el("p", { class: "dim small" }, "Green is best. Draw along an axis to keep the runs there; click a line to mark it."), el("figure", {}, chart));
section("Runs", el("div", { class: "scroll runs" }, table.node));
draw();
let drawnWidth = chart.clientWidth;
addEventListener("resize", () => {
  if (axes.length > 1 && chart.clientWidth !== drawnWidth) { drawnWidth = chart.clientWidth; drawLines(); }
});
