// ------------------------------------------------------------------------------------------------ the leaderboard

const columns = [
  { name: "#", value: (row) => data.settings.indexOf(row), cell: (row, place) => `${place + 1}`, num: true },
  ...data.keys.map((key) => ({ name: key, value: (row) => row.keys[key], cell: (row) => text(row.keys[key]), wrap: true })),
  { name: data.figure, value: (row) => row.mean, cell: meanCell, num: true, down: data.higher },
  { name: "interval", value: (row) => row.low, cell: intervalCell, down: data.higher },
  { name: "seeds", value: (row) => row.values.length, cell: (row) => `${row.values.length}`, num: true, down: true },
  { name: "against the best", value: (row, place) => place, cell: (row, place) => { const [said, look] = standing(place); return make("span", { className: look }, said); } },
  ...costs.map((name) => ({ name: COSTS[name], value: (row) => row[name], num: true,
    cell: (row) => make("span", {}, costText(name, row[name]), row.front.includes(name) ? make("span", { className: "on", title: "nothing is better at this cost" }, " ◆") : null) })),
];
const ranks = new Map(data.settings.map((row, place) => [row, place]));
if (columns[0]) columns[0].value = (row) => ranks.get(row);

function meanCell(row) {
  return make("span", { title: row.values.map(figure).join(", ") }, figure(row.mean), row.sd === null ? null : make("span", { className: "sd" }, ` ± ${figure(row.sd)}`));
}

const known = data.settings.filter((row) => row.low !== null);
const span = known.length ? [Math.min(...known.map((row) => row.low)), Math.max(...known.map((row) => row.high))] : [0, 1];
function intervalCell(row) {
  if (row.low === null || row.low === undefined) return make("span", { className: "same" }, "–");
  const x = (value) => 3 + 144 * ((value - span[0]) / (span[1] - span[0] || 1));
  const svg = make("div");
  svg.innerHTML = `<svg class="interval" viewBox="0 0 150 16" role="img"><title></title><line x1="0" x2="150" y1="8" y2="8" stroke="var(--soft)"/>` +
    `<line x1="${x(row.low)}" x2="${x(row.high)}" y1="8" y2="8" stroke="var(--accent)" stroke-width="4" stroke-linecap="round"/>` +
    `<circle cx="${x(row.mean)}" cy="8" r="4" fill="var(--card)" stroke="var(--accent)" stroke-width="2"/></svg>`;
  svg.querySelector("title").textContent = `95 % interval ${figure(row.low)} to ${figure(row.high)}`;
  return svg;
}

const searched = data.settings.map((row) => `${row.label} ${row.runs.map((run) => data.runs[run].name).join(" ")}`.toLowerCase());
function passes(value, wanted) {
  const range = /^\s*(-?[\d.e+-]+)\s*\.\.\s*(-?[\d.e+-]+)\s*$/i.exec(wanted), bound = /^\s*([<>]=?)\s*(-?[\d.e+-]+)\s*$/i.exec(wanted);
  if (range) return value !== null && value >= Number(range[1]) && value <= Number(range[2]);
  if (!bound) return text(value).toLowerCase().includes(wanted.trim().toLowerCase());
  const limit = Number(bound[2]);
  return value !== null && { "<": value < limit, ">": value > limit, "<=": value <= limit, ">=": value >= limit }[bound[1]];
}
const shownSettings = () => {
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = Object.entries(state.filters).filter(([, filter]) => filter.text !== "");
  const kept = data.settings.filter((row, place) => words.every((word) => searched[place].includes(word)) &&
    wanted.every(([key, filter]) => (filter.exact ? text(row.keys[key]) === filter.text : passes(row.keys[key] ?? null, filter.text))));
  const column = columns[state.sort];
  if (!column) return kept;
  const value = (row) => column.value(row, ranks.get(row));
  return kept.sort((a, b) => {
    const [one, two] = [value(a), value(b)];
    return one == null || two == null || state.up ? compareValues(one, two) : compareValues(two, one);
  });
};

function drawHead() {
  const cells = columns.map((column, place) => {
    const head = make("th", { scope: "col", className: column.num ? "num" : "" }, make("button", { type: "button", onclick: () => sortBy(place) }, column.name));
    if (state.sort === place) head.setAttribute("aria-sort", state.up ? "ascending" : "descending");
    return head;
  });
  at("board").tHead.replaceChildren(make("tr", {}, make("th", {}, make("span", { className: "quiet" }, "draw")), ...cells));
}
function sortBy(place) {
  state.up = state.sort === place ? !state.up : !columns[place].down;
  state.sort = place; state.page = 0;
  drawBoard();
  at("board").tHead.querySelectorAll("button")[place].focus();
}

function tick(run, name) {
  return make("input", { type: "checkbox", checked: state.chosen.includes(run), "aria-label": `draw ${name}`, onchange: () => toggle(run) });
}
function settingRow(row) {
  const place = ranks.get(row), isOpen = state.open.has(place);
  const opener = make("button", { type: "button", className: "open", "aria-expanded": String(isOpen), "aria-label": `runs of ${row.label}`,
    onclick: () => { isOpen ? state.open.delete(place) : state.open.add(place); drawBoard(); at("board").querySelector(`[data-place="${place}"] .open`).focus(); } }, isOpen ? "▾" : "▸");
  const cells = columns.map((column) => make("td", { className: (column.num ? "num" : "") + (column.wrap ? " wrap" : ""), title: column.wrap ? column.cell(row, place) : "" }, column.cell(row, place)));
  return make("tr", { className: "setting", "data-place": place }, make("td", {}, tick(row.runs[0], row.label), opener), ...cells);
}
function runRow(row, run, number) {
  const one = data.runs[run], told = [`seed ${text(row.seeds[number])}`, `${data.figure} ${figure(row.values[number])}`];
  if (one.seconds) told.push(duration(one.seconds));
  if (one.memory) told.push(`${figure(one.memory)} MiB`);
  const line = make("div", { className: "line" }, ...told.map((said) => make("span", {}, said)),
    one.command ? make("button", { type: "button", className: "copy", title: one.command, onclick: (event) => copy(event.target, one.command) }, "copy command") : null,
    one.at ? make("a", { href: `${encodeURI(one.at)}/report.html`, className: "name" }, one.name) : one.name);
  return make("tr", { className: "run" }, make("td", {}, tick(run, one.name)), make("td", { colSpan: columns.length }, line));
}
function drawBoard() {
  if (!at("board")) return;
  const rows = shownSettings(), pages = Math.max(1, Math.ceil(rows.length / PAGE));
  state.page = Math.min(state.page, pages - 1);
  const first = state.page * PAGE, page = rows.slice(first, first + PAGE);
  drawHead();
  at("board").tBodies[0].replaceChildren(...page.flatMap((row) => [settingRow(row), ...(state.open.has(ranks.get(row)) ? row.runs.map((run, number) => runRow(row, run, number)) : [])]));
  at("count").textContent = rows.length === 0 ? "no setting fits the filters" : `${first + 1} to ${first + page.length} of ${rows.length.toLocaleString("en")} settings`;
  at("previous").disabled = state.page === 0; at("next").disabled = state.page >= pages - 1;
  at("previous").hidden = at("next").hidden = pages === 1;
  drawParallel(rows);
}

function drawFilters() {
  for (const key of data.keys) {
    const values = [...new Set(data.settings.map((row) => text(row.keys[key])))];
    if (values.length < 2) continue;
    const exact = values.length <= MANY, set = (event) => { state.filters[key] = { text: event.target.value, exact }; state.page = 0; drawBoard(); };
    const control = exact
      ? make("select", { "data-key": key, onchange: set }, make("option", { value: "" }, "all"), ...values.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).map((value) => make("option", { value }, value)))
      : make("input", { type: "search", className: "range", "data-key": key, placeholder: ">0.01, 1..5", oninput: set });
    at("filters").append(make("label", {}, key, control));
  }
}

// ------------------------------------------------------------------------------------------------ chosen runs

const COLORS = 6; // CSS variables --line-0 to 5; from the seventh on lines are dashed
const nameOf = (run) => {
  const place = owner.get(run);
  if (place === undefined) return data.runs[run].name;
  const row = data.settings[place];
  return row.runs.length > 1 ? `${row.label} · seed ${text(row.seeds[row.runs.indexOf(run)])}` : row.label;
};
function toggle(run) {
  state.chosen = state.chosen.includes(run) ? state.chosen.filter((one) => one !== run) : [...state.chosen, run].slice(-MAX_CHOSEN);
  drawChosen();
}
function drawChosen() {
  const chips = state.chosen.map((run, place) => make("span", { className: "chip", title: nameOf(run) },
    make("i", { style: `border-color: var(--line-${place % COLORS}); border-style: ${place < COLORS ? "solid" : "dashed"} none none` }),
    make("span", {}, nameOf(run)), make("button", { type: "button", "aria-label": `leave out ${nameOf(run)}`, onclick: () => toggle(run) }, "×")));
  at("chosen")?.replaceChildren(...chips);
  drawBoard(); drawCurves(); offerPair();
}
