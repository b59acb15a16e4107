"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const PAGE = 25, MAX_CHOSEN = 8, MAX_LINES = 400, MAX_AXES = 8, MANY = 24;
const COSTS = { parameters: "parameters", macs: "MACs", seconds: "time", memory: "memory (MiB)" };
const costs = Object.keys(COSTS).filter((name) => data.settings.some((row) => row[name] !== null));
const owner = new Map(data.settings.flatMap((row, place) => row.runs.map((run) => [run, place]))); // run -> setting
const state = { sort: null, up: true, text: "", filters: {}, page: 0, open: new Set(), chosen: [] };

// ------------------------------------------------------------------------------------------------ small helpers

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
const text = (value) => (value === null || value === undefined ? "–" : typeof value === "number" ? String(Number(value.toPrecision(5))) : typeof value === "object" ? JSON.stringify(value) : String(value));
const figure = (value) => {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return size === 0 || (size >= 0.001 && size < 10) ? value.toFixed(4) : String(Number(value.toPrecision(4)));
};
const signed = (value) => (value > 0 ? "+" : "") + (Math.abs(value) < 10 ? value.toFixed(4) : figure(value));
const large = (value) => {
  if (value === null || value === undefined) return "–";
  const [unit, size] = [["G", 1e9], ["M", 1e6], ["k", 1e3]].find(([, least]) => Math.abs(value) >= least) ?? ["", 1];
  return `${Number((value / size).toPrecision(4))}${unit && " " + unit}`;
};
const duration = (value) => {
  if (value === null || value === undefined) return "–";
  if (value < 59.95) return `${value.toFixed(1)} s`;
  const seconds = Math.round(value), minutes = Math.floor(seconds / 60), two = (number) => String(number).padStart(2, "0");
  return minutes < 60 ? `${minutes} min ${two(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
};
const costText = (name, value) => (name === "seconds" ? duration(value) : name === "memory" ? figure(value) : large(value));
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const compareValues = (a, b) => {
  const absent = (value) => value === null || value === undefined;
  if (absent(a) || absent(b)) return absent(a) - absent(b);
  return typeof a === "number" && typeof b === "number" ? a - b : text(a).localeCompare(text(b), "en", { numeric: true });
};

async function copy(button, said) {
  try { await navigator.clipboard.writeText(said); }
  catch {
    const area = make("textarea", { value: said });
    document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
  }
  const before = button.dataset.label ?? button.textContent;
  button.dataset.label = before; button.textContent = "copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}
for (const button of document.querySelectorAll("button.copy")) button.addEventListener("click", () => {
  copy(button, button.dataset.text ?? button.parentNode.querySelector("code").textContent);
});

// what is known of a setting against the best one
const againstBest = new Map();
for (const [a, b, difference, low, high, p, supported] of data.pairs) if (a === 0 || b === 0) againstBest.set(a === 0 ? b : a, { difference, low, high, p, supported });
const standing = (place) => {
  if (place === 0) return ["ahead", "lead"];
  const pair = againstBest.get(place);
  return pair ? (pair.supported ? ["worse, supported", "less"] : ["not told apart", "same"]) : ["not compared", "same"];
};
