// ------------------------------------------------------------------------------------------------ plotly, in the page's colours

const OPTIONS = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
function layout(more) {
  const axis = { gridcolor: css("--edge"), zerolinecolor: css("--edge"), linecolor: css("--edge"), automargin: true };
  return { paper_bgcolor: "transparent", plot_bgcolor: "transparent", margin: { l: 50, r: 14, t: 28, b: 40 }, hovermode: "closest",
    font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 12, color: css("--muted") }, showlegend: false,
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--edge"), font: { color: css("--ink") }, align: "left" },
    modebar: { bgcolor: "transparent", color: css("--muted"), activecolor: css("--accent") }, ...more,
    xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis } };
}
const plain = (said) => said.replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // plotly reads a little HTML

const curveNames = () => {
  const names = [...new Set(Object.values(data.details).flatMap((one) => Object.keys(one.curves)))];
  const rank = (name) => [data.figure, "val/loss", "train/loss"].indexOf(name);
  return names.sort((a, b) => (rank(a) < 0) - (rank(b) < 0) || rank(a) - rank(b) || a.localeCompare(b));
};
function drawCurves() {
  const name = at("curve").value, runs = state.chosen.filter((run) => data.details[run]?.curves[name]);
  const traces = runs.map((run) => {
    const place = state.chosen.indexOf(run), [x, y] = data.details[run].curves[name];
    return { x, y, name: plain(nameOf(run)), mode: x.length <= 30 ? "lines+markers" : "lines", marker: { size: 5 },
      line: { color: css(`--line-${place % COLORS}`), width: 2, dash: place < COLORS ? "solid" : "dash" }, hovertemplate: "%{fullData.name}<br>step %{x}: %{y:.5g}<extra></extra>" };
  });
  const none = state.chosen.length ? "none of the chosen runs has this curve here" : "tick runs in the leaderboard";
  const said = traces.length ? [] : [{ text: none, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }];
  Plotly.react("curves", traces, layout({ xaxis: { title: { text: "step" } }, yaxis: { title: { text: name } }, annotations: said }), OPTIONS);
}

function drawCosts() {
  if (!at("costs")) return;
  const name = at("cost").value, rows = data.settings.filter((row) => row[name] !== null);
  const x = rows.map((row) => row[name]), least = Math.min(...x), log = least > 0 && Math.max(...x) / least > 10;
  const bars = rows.length <= 60 && rows.some((row) => row.low !== null)
    ? { type: "data", symmetric: false, array: rows.map((row) => (row.high ?? row.mean) - row.mean), arrayminus: rows.map((row) => row.mean - (row.low ?? row.mean)), color: css("--muted"), thickness: 1, width: 3 } : undefined;
  const best = rows.filter((row) => row.front.includes(name)).sort((a, b) => a[name] - b[name]);
  const hover = (row) => `${plain(row.label)}<br>${data.figure} ${figure(row.mean)}<br>${COSTS[name]} ${costText(name, row[name])}`;
  const traces = [
    { x, y: rows.map((row) => row.mean), error_y: bars, mode: "markers", marker: { color: css("--line-0"), size: 9, opacity: rows.length > 300 ? 0.45 : 0.85 }, customdata: rows.map((row) => row.runs[0]), text: rows.map(hover), hovertemplate: "%{text}<extra></extra>" },
    { x: best.map((row) => row[name]), y: best.map((row) => row.mean), mode: "lines+markers", line: { color: css("--line-1"), width: 2, shape: "hv" }, marker: { symbol: "diamond", size: 11, color: css("--line-1") }, customdata: best.map((row) => row.runs[0]), text: best.map(hover), hovertemplate: "%{text}<extra>front</extra>" },
  ];
  Plotly.react("costs", traces, layout({ xaxis: { title: { text: COSTS[name] + (name === "seconds" ? " (s)" : "") }, type: log ? "log" : "linear" }, yaxis: { title: { text: data.figure } } }), OPTIONS);
}

// ------------------------------------------------------------------------------------------------ importance, parallel coordinates, pairs

function drawImportance() {
  const rows = data.importance.map((one) => make("tr", {}, make("td", {}, one.key),
    make("td", { style: "width: 45%" }, make("div", { className: "bar" }, make("i", { style: `width: ${(100 * one.share).toFixed(1)}%` }))),
    make("td", { className: "num" }, `${(100 * one.share).toFixed(0)} %`)));
  at("importance")?.append(...(rows.length ? rows : [make("tr", {}, make("td", { className: "quiet" }, "too few runs to tell"))]));
}

function axisOf(name, values) {
  const numbers = values.filter((value) => value !== null && value !== undefined);
  if (numbers.length && numbers.every((value) => typeof value === "number") && numbers.length === values.length) {
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)], log = low > 0 && high / low > 20, f = log ? Math.log : (value) => value;
    const place = (value) => (high === low ? 0.5 : (f(value) - f(low)) / (f(high) - f(low)));
    return { name, place, marks: [low, high].filter((value, i, all) => all.indexOf(value) === i).map((value) => [String(Number(value.toPrecision(4))), place(value)]) };
  }
  const different = [...new Set(values.map(text))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const place = (value) => (different.length === 1 ? 0.5 : different.indexOf(text(value)) / (different.length - 1));
  return { name, place, marks: (different.length > 14 ? [different[0], different.at(-1)] : different).map((value) => [value, place(value)]) };
}
const SVG = "http://www.w3.org/2000/svg";
const shape = (tag, attributes, content = "") => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = content;
  return node;
};
const cut = (said, length = 18) => (said.length > length ? `${said.slice(0, length - 1)}…` : said);
function drawParallel(rows) {
  const target = at("parallel");
  if (!target) return;
  const ordered = [...data.importance.map((one) => one.key), ...data.keys].filter((key, i, all) => all.indexOf(key) === i).slice(0, MAX_AXES);
  const every = Math.max(1, Math.ceil(rows.length / MAX_LINES)), drawn = rows.filter((_, place) => place % every === 0);
  if (!drawn.length) { target.replaceChildren(make("p", { className: "quiet" }, "no setting fits the filters")); return; }
  const axes = [...ordered.map((key) => ({ ...axisOf(key, drawn.map((row) => row.keys[key])), value: (row) => row.keys[key] })),
    { ...axisOf(data.figure, drawn.map((row) => row.mean)), value: (row) => row.mean }];
  const width = 760, height = 300, left = 92, right = 64, top = 26, bottom = 14;
  const x = (place) => left + (place * (width - left - right)) / (axes.length - 1 || 1), y = (share) => height - bottom - share * (height - top - bottom);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "parallel" });
  axes.forEach((axis, place) => svg.append(shape("line", { class: "axis", x1: x(place), x2: x(place), y1: y(0), y2: y(1) })));
  const quality = [...drawn].sort((a, b) => a.mean - b.mean), level = new Map(quality.map((row, i) => [row, drawn.length === 1 ? 1 : i / (drawn.length - 1)]));
  for (const row of [...drawn].sort((a, b) => ranks.get(b) - ranks.get(a))) {
    const good = data.higher ? level.get(row) : 1 - level.get(row);
    const points = axes.map((axis, place) => `${x(place).toFixed(1)},${y(axis.place(axis.value(row))).toFixed(1)}`);
    const line = shape("path", { d: `M${points.join("L")}`, style: `stroke: color-mix(in oklab, var(--line-0) ${(100 * good).toFixed(0)}%, var(--line-1))`, class: ranks.get(row) === 0 ? "best" : "" });
    line.append(shape("title", {}, `${row.label}: ${figure(row.mean)}`));
    svg.append(line);
  }
  axes.forEach((axis, place) => { // over the lines
    const last = place === axes.length - 1;
    svg.append(shape("text", { class: "axis-name", x: x(place), y: 12, "text-anchor": "middle" }, cut(axis.name)));
    for (const [said, share] of axis.marks) svg.append(shape("text", { x: x(place) + (last ? 6 : -6), y: y(share) + 4, "text-anchor": last ? "start" : "end" }, cut(said, 14)));
  });
  target.replaceChildren(svg, ...(every > 1 ? [make("p", { className: "quiet" }, `every ${every}th of ${rows.length.toLocaleString("en")} settings is drawn`)] : []));
}

function drawPairs() {
  const places = [...new Set(data.pairs.flatMap(([a, b]) => [a, b]))].sort((a, b) => a - b);
  const section = at("pairs-section");
  if (!section) return;
  section.hidden = places.length === 0;
  const cells = new Map();
  for (const [a, b, difference, low, high, p, supported] of data.pairs) {
    cells.set(`${a} ${b}`, [difference, low, high, p, supported]); cells.set(`${b} ${a}`, [-difference, -high, -low, p, supported]);
  }
  const cell = (row, column) => {
    const pair = cells.get(`${row} ${column}`);
    if (!pair) return make("td", { className: "none" });
    const [difference, low, high, p, supported] = pair, better = supported && difference > 0 === data.higher;
    return make("td", { className: supported ? (better ? "better" : "worse") : "", title: `#${row + 1} minus #${column + 1}: ${signed(difference)}, 95 % interval ${signed(low)} to ${signed(high)}, corrected p ${figure(p)}` },
      signed(difference) + (supported ? (better ? " ✓" : " ✗") : ""));
  };
  at("pairs").append(make("thead", {}, make("tr", {}, make("th"), ...places.map((place) => make("th", { scope: "col" }, `#${place + 1}`)))),
    make("tbody", {}, ...places.map((row) => make("tr", {}, make("th", { scope: "row", title: data.settings[row].label }, `#${row + 1} ${data.settings[row].label}`), ...places.map((column) => cell(row, column))))));
}
