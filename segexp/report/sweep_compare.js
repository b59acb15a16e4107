// ------------------------------------------------------------------------------------------------ two runs

function offerPair() {
  if (!at("a")) return;
  const first = data.settings.slice(0, 20).map((row) => row.runs[0]);
  const runs = [...new Set([...state.chosen, ...first])];
  for (const [id, place] of [["a", 0], ["b", 1]]) {
    const before = at(id).dataset.touched ? Number(at(id).value) : null;
    at(id).replaceChildren(...runs.map((run) => make("option", { value: String(run) }, nameOf(run))));
    at(id).value = String(runs.includes(before) ? before : runs[Math.min(place, runs.length - 1)]);
  }
  drawPair();
}
function verdict(a, b) {
  const [one, two] = [owner.get(a), owner.get(b)];
  if (one === undefined || two === undefined) return "One of them isn't done.";
  if (one === two) return "The same setting: they differ in the seed alone.";
  const pair = data.pairs.find(([x, y]) => (x === one && y === two) || (x === two && y === one));
  if (!pair) return "Whether one setting is better was not worked out: intervals are for the best settings of the board, on the same images.";
  const [x, , difference, low, high, , supported] = pair, better = difference > 0 === data.higher ? pair[0] : pair[1];
  const said = `the difference is ${figure(Math.abs(difference))} (95 % interval ${signed(low)} to ${signed(high)}, #${x + 1} minus #${pair[1] + 1})`;
  return supported ? `That ${data.settings[better].label} is better is supported: ${said}.` : `Not told apart: ${said}.`;
}
const line = (name, ...cells) => make("tr", {}, make("td", {}, name), ...cells.map((said) => make("td", { className: "num" }, said)));
const heading = (...names) => make("thead", {}, make("tr", {}, ...names.map((name, place) => make("th", { className: place ? "num" : "" }, name))));

function drawPair() {
  const [a, b] = [Number(at("a").value), Number(at("b").value)];
  at("verdict").textContent = a === b ? "Choose two different runs." : verdict(a, b);
  const [one, two] = [data.details[a] ?? { figures: {}, config: {} }, data.details[b] ?? { figures: {}, config: {} }];
  const keys = [...new Set([...Object.keys(one.config), ...Object.keys(two.config)])].filter((key) => text(one.config[key]) !== text(two.config[key]));
  at("settings-of").replaceChildren(heading("what differs", "A", "B"), make("tbody", {}, ...(keys.length ? keys.map((key) => line(key, text(one.config[key]), text(two.config[key]))) : [line("nothing that is on this page", "", "")])));
  const names = [...new Set([...Object.keys(one.figures), ...Object.keys(two.figures)])];
  const gap = (name) => (one.figures[name] == null || two.figures[name] == null ? "–" : signed(two.figures[name] - one.figures[name]));
  const told = ["seconds", "memory"].filter((name) => data.runs[a][name] || data.runs[b][name]).map((name) => line(COSTS[name], costText(name, data.runs[a][name] ?? null), costText(name, data.runs[b][name] ?? null), ""));
  const row = (name) => line(name, figure(one.figures[name]), figure(two.figures[name]), gap(name));
  const single = (name) => name.split("/").length > 2; // of one class
  at("figures-of").replaceChildren(heading("figure", "A", "B", "B − A"), make("tbody", {}, ...names.filter((name) => !single(name)).map(row), ...told));
  at("classes-of").replaceChildren(heading("figure", "A", "B", "B − A"), make("tbody", {}, ...names.filter(single).map(row)));
  at("classes-of").closest("details").hidden = !names.some(single);
  drawPictures(a, b);
}
function drawPictures(a, b) {
  const shared = Object.entries(data.pictures).filter(([, row]) => row[a] && row[b]);
  const shown = (name, row, run, letter) => make("figure", {}, make("figcaption", {}, make("b", {}, `${letter} `), nameOf(run)), make("div", { className: "scroll" }, make("img", { src: row[run], decoding: "async", alt: `${name}: ${nameOf(run)}` })));
  const groups = shared.map(([name, row]) => make("div", { className: "side" }, make("b", {}, name.replace(/\.png$/, "").replace("__", " · ")), shown(name, row, a, "A"), shown(name, row, b, "B")));
  const own = (run) => (data.runs[run].at ? make("a", { href: `${encodeURI(data.runs[run].at)}/report.html` }, nameOf(run)) : nameOf(run));
  const without = make("p", { className: "quiet" }, "There are no pictures on this page that both have; their own pages have theirs: ", own(a), ", ", own(b), ".");
  at("pictures").replaceChildren(...(groups.length ? groups : [without]));
  for (const strip of at("pictures").querySelectorAll(".scroll")) strip.scrollLeft = strip.scrollWidth; // on a phone: prediction and errors
}

// ------------------------------------------------------------------------------------------------ start

at("curve").append(...curveNames().map((name) => make("option", { value: name }, name)));
at("curve").addEventListener("change", drawCurves);
if (at("board")) {
  state.chosen = data.settings.slice(0, 5).map((row) => row.runs[0]);
  drawFilters(); drawPairs(); drawImportance();
  at("search").addEventListener("input", (event) => { state.text = event.target.value; state.page = 0; drawBoard(); });
  at("previous").addEventListener("click", () => { state.page--; drawBoard(); });
  at("next").addEventListener("click", () => { state.page++; drawBoard(); });
  for (const id of ["a", "b"]) at(id).addEventListener("change", () => { at(id).dataset.touched = "yes"; drawPair(); });
} else state.chosen = Object.keys(data.details).map(Number).slice(0, MAX_CHOSEN);
if (at("cost")) {
  at("cost").append(...costs.map((name) => make("option", { value: name }, COSTS[name])));
  at("cost").addEventListener("change", drawCosts);
  if (costs.length) {
    drawCosts();
    at("costs").on("plotly_click", (event) => { const run = event.points[0].customdata; if (!state.chosen.includes(run)) toggle(run); });
  } else at("costs").closest("section").hidden = true;
}
for (const button of document.querySelectorAll("button.draw")) button.addEventListener("click", () => { toggle(Number(button.dataset.run)); button.textContent = state.chosen.includes(Number(button.dataset.run)) ? "drawn" : "draw"; });
drawChosen();
for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", () => { drawCurves(); if (costs.length) drawCosts(); });
