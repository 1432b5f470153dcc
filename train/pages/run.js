/* A training run: how it stands, curves, metrics, checkpoints, configuration. */
const state = data.state;

(function status() {
  const written = new Date(state.written * 1000);
  const epochs = state.n_epochs === null ? `epoch ${count(state.epoch)}` : `epoch ${count(state.epoch)} of ${count(state.n_epochs)}`;
  const when = `written ${written.toLocaleString()}`;
  if (state.state === "failed") {
    root.append(el("p", { class: "grave" }, el("b", {}, "Ended early: "), state.problem), el("p", { class: "dim small" }, when));
    return;
  }
  if (state.state === "finished") {
    root.append(el("p", { class: "good" }, "\u2713 finished"), el("p", { class: "dim small" }, when));
    return;
  }
  const late = (Date.now() / 1000 - state.written) > Math.max(60, 3 * state.seconds_per_epoch);
  root.append(
    el("p", {}, el("b", {}, "\u25B6 running: "), `${epochs} done`),
    el("progress", { max: state.n_epochs || 1, value: state.n_epochs ? state.epoch : null, "aria-label": "epochs done" }),
    el("p", { class: "dim small" }, `This page is written anew after each epoch, and loads itself anew meanwhile; ${when}.`));
  if (late) root.append(el("p", { class: "odd" }, "It has not been written for longer than three epochs took: the run may have been killed."));
  const again = () => document.hidden ? setTimeout(again, 5000) : location.reload();
  if (!late) setTimeout(again, 10000);
})();

root.append(el("table", { class: "facts" }, el("tbody", {}, data.facts.map(([name, value]) =>
  el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value))))));

/* Metrics of one name behind the slash share a plot. */
(function plots() {
  const groups = new Map();
  for (const curve of data.curves) {
    const [stage, ...rest] = curve.name.split("/");
    const name = rest.join("/") || stage;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push({ ...curve, label: rest.length ? stage : curve.name });
  }
  if (groups.size) section("Metrics", el("div", { class: "plots" }, [...groups].map(([name, curves]) => plot(name, curves))));
  if (data.course.length) {
    const course = data.course.map((curve) => plot(curve.name, [{ ...curve, label: "" }]));
    section("Training", el("div", { class: "plots" }, course));
  }
})();

function ticks(low, high, n) {
  const rough = (high - low) / n, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= rough);
  const places = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-12) + 1e-300; i += 1) places.push(i * step);
  return places;
}

function plot(title, curves) {
  const height = 230, left = 52, right = 10, head = 8, foot = 24;
  let width = 0;
  const points = curves.map((curve) => curve.steps.map((step, i) => [step, curve.values[i]]).filter((point) => typeof point[1] === "number"));
  const all = points.flat();
  const box = el("div");
  const reading = el("span", { class: "key", role: "status" });
  const key = el("span", { class: "key" }, curves.filter((curve) => curve.label).map((curve, i) =>
    [el("i", { class: `c${i % 4}` }), `${curve.label} `]));
  const isPositive = all.length > 0 && all.every((point) => point[1] > 0);
  const log = el("button", { type: "button", "aria-pressed": "false", class: "small", onclick: () => {
    log.setAttribute("aria-pressed", String(log.getAttribute("aria-pressed") !== "true"));
    draw();
  } }, "log");
  const bad = curves.reduce((sum, curve) => sum + curve.nBad, 0);
  const node = el("figure", {}, el("figcaption", {}, el("span", {}, title), key, isPositive ? log : null), box, reading,
    bad ? el("div", { class: "odd small" }, `${plural(bad, "value")} not finite, and not drawn`) : null);

  function draw() {
    const isLog = log.getAttribute("aria-pressed") === "true";
    const form = isLog ? Math.log10 : (value) => value;
    if (!all.length) { box.replaceChildren(el("p", { class: "dim" }, "no finite values")); return; }
    let [x0, x1] = [Math.min(...all.map((p) => p[0])), Math.max(...all.map((p) => p[0]))];
    let [y0, y1] = [Math.min(...all.map((p) => form(p[1]))), Math.max(...all.map((p) => form(p[1])))];
    if (x0 === x1) { x0 -= 1; x1 += 1; }
    if (y1 - y0 < 1e-12 * Math.max(Math.abs(y0), Math.abs(y1)) || y0 === y1) { const d = Math.abs(y0) * .1 || 1; y0 -= d; y1 += d; }
    const margin = (y1 - y0) * .04;
    y0 -= margin; y1 += margin;
    const x = (step) => left + (step - x0) / (x1 - x0) * (width - left - right);
    const y = (value) => height - foot - (form(value) - y0) / (y1 - y0) * (height - head - foot);
    const picture = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `${title} by step: ${curves.map((curve) => `${curve.label} last ${number(curve.last)}, lowest ${number(curve.lowest)}, highest ${number(curve.highest)}`).join("; ")}` });
    for (const place of ticks(y0, y1, 5)) {
      const at = height - foot - (place - y0) / (y1 - y0) * (height - head - foot);
      picture.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: at, y2: at }),
        svg("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, number(isLog ? 10 ** place : place, 3)));
    }
    for (const place of ticks(x0, x1, Math.max(2, Math.min(8, width / 80))).filter(Number.isInteger))
      picture.append(svg("text", { x: x(place), y: height - 6, "text-anchor": "middle" }, count(place)));
    points.forEach((line, i) => {
      const d = line.map((p, k) => `${k ? "L" : "M"}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`).join("");
      picture.append(svg("path", { class: `curve c${i % 4}`, d }));
      if (line.length < 40) for (const p of line) picture.append(svg("circle", { class: `c${i % 4}`, cx: x(p[0]), cy: y(p[1]), r: 2.4 }));
    });
    const cursor = svg("line", { class: "cursor", y1: head, y2: height - foot, x1: 0, x2: 0 });
    picture.append(cursor);
    picture.addEventListener("pointermove", (event) => {
      const frame = picture.getBoundingClientRect();
      const step = x0 + ((event.clientX - frame.left) * width / frame.width - left) / (width - left - right) * (x1 - x0);
      const near = points.map((line) => line.reduce((best, p) => Math.abs(p[0] - step) < Math.abs(best[0] - step) ? p : best, line[0] || [0, null]));
      const place = near.find((p) => p[1] !== null);
      if (!place) return;
      cursor.classList.add("on");
      for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(place[0]));
      reading.textContent = `step ${count(place[0])}: ${curves.map((curve, i) => `${curve.label} ${number(near[i][1], 4)}`.trim()).join(", ")}`;
    });
    picture.addEventListener("pointerleave", () => { cursor.classList.remove("on"); reading.textContent = "\u00A0"; });
    box.replaceChildren(picture);
  }

  reading.textContent = "\u00A0";
  new ResizeObserver(() => {
    if (box.clientWidth === width || !box.clientWidth) return;
    width = box.clientWidth;
    draw();
  }).observe(box);
  return node;
}

if (data.curves.length) {
  const table = sortableTable([
    { name: "metric", value: (curve) => curve.name },
    ...["last", "lowest", "highest"].map((key) => ({ name: key, isNumber: true, value: (curve) => curve[key], text: (curve) => number(curve[key], 5) })),
  ], { rows: data.curves, caption: "last and best values" });
  folding("Last and best values", true, table.node);
}

if (data.checkpoints.length) {
  const table = sortableTable([
    { name: "checkpoint", value: (item) => item.name, cell: (item) =>
      [item.name, " ", item.is_best ? el("span", { class: "badge good" }, "\u2605 best") : null, item.is_last ? el("span", { class: "badge" }, "last") : null] },
    { name: data.monitor || "score", isNumber: true, value: (item) => item.score, text: (item) => number(item.score, 6) },
  ], { rows: data.checkpoints, caption: "checkpoints" });
  folding("Checkpoints", true, table.node);
}

if (data.edits.length) {
  const names = ["step", "time", "by", "field", "from", "to", "note"];
  const table = sortableTable(names.map((name, i) => ({ name, value: (row) => i ? row[i] : Number(row[i]) })), { rows: data.edits, caption: "edits", isLong: true });
  folding("Edits while it ran", true, table.node);
}

(function configuration() {
  const table = sortableTable([
    { name: "setting", value: (row) => row.path },
    { name: "value", value: (row) => row.value },
    { name: "default", value: (row) => row.default, cell: (row) => el("span", { class: "dim" }, row.default || "\u2013") },
  ], { rows: data.settings, caption: "settings that are no defaults", isLong: true });
  folding("Configuration: what is not as by default", true,
    data.settings.length ? table.node : el("p", {}, "Everything is as by default."));
  if (data.config) folding("Configuration, all of it", false, el("pre", {}, data.config));
})();

if (data.origin.length) folding("Where it comes from", false, el("table", { class: "facts" }, el("tbody", {}, data.origin.map(([name, value]) =>
  el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: name === "command" ? "mono" : null }, value))))));
