// Asks for what has changed every two seconds, and shows it. Text of the study enters the page as text alone.
"use strict";

const PAUSE = 2000, HIDDEN_PAUSE = 15000, FIRST_CELLS = 120;
const MEANINGS = {
  running: "running", done: "done", failed: "failed", missing: "missing (waits to run)",
  unmeasured: "unmeasured (trained, some measures are missing)", stopped: "stopped (pruned by the search)",
  impossible: "impossible (cannot run on this machine)",
};
const tags = {}, documents = {}, cellElements = new Map();
let clockOffset = 0, allCells = false, unreachableSince = null, timer = null, shownAsFinal = false;

const find = (id) => document.getElementById(id);

function make(kind, properties = {}, ...children) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role" || name === "scope") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function fill(id, children) {
  find(id).replaceChildren(...children);
}

function formatDuration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
const secondsSince = (time) => Math.max(0, (Date.now() - clockOffset) / 1000 - time);

// documents

async function load(name, path = `${name}.json`) {
  const headers = tags[name] ? { "If-None-Match": `"${tags[name]}"` } : {};
  const response = await fetch(path, { headers, cache: "no-store", credentials: "omit" });
  if (response.status === 304) return false;
  if (!response.ok) throw new Error(`${response.status}`);
  clockOffset = Date.now() - Date.parse(response.headers.get("Date"));
  documents[name] = await response.json();
  tags[name] = (response.headers.get("ETag") || "").replaceAll('"', "");
  return true;
}

async function poll() {
  clearTimeout(timer);
  try {
    await load("pulse");
    unreachableSince = null;
    const pulse = documents.pulse;
    if (pulse.grid !== tags.grid && await load("grid")) showGrid();
    if (pulse.analysis !== tags.analysis && await load("analysis")) {
      showAnalysis();
      for (const details of document.querySelectorAll(".cell[open]")) drawCell(details);
    }
    if (documents.analysis && isFinal() !== shownAsFinal) showAnalysis();
    showPulse();
  } catch (error) {
    unreachableSince ??= Date.now();
    showNotices();
  }
  timer = setTimeout(poll, document.hidden ? HIDDEN_PAUSE : PAUSE);
}

// what changes from second to second

function showPulse() {
  const { study, question, counts, running = [], left } = documents.pulse;
  find("name").textContent = study;
  find("question").textContent = question;
  document.title = `${study}: ${counts ? `${counts.done || 0} of ${documents.pulse.total} done` : "watch"}`;
  if (!counts) return showNotices();
  find("summary").textContent = describeProgress(counts, left);
  fill("bar", Object.entries(counts).map(([state, number]) => {
    const part = make("i", { className: `s-${state}` });
    part.style.flexGrow = number;
    return part;
  }));
  find("running-section").hidden = !running.length;
  fill("running", running.map(buildRunningRow));
  showNodes();
  showNotices();
  find("about").textContent = `Read from ${documents.pulse.results}. This page only reads; it can be closed at any time.`;
}

function describeProgress(counts, left) {
  const parts = [`${counts.done || 0} of ${count(documents.pulse.total, "trial")} done`];
  for (const [state, number] of Object.entries(counts)) if (state !== "done") parts.push(`${number} ${state}`);
  let text = parts.join(", ") + ".";
  if (!left.trials) return text;
  if (left.seconds === null) return `${text} The time left is not known before the first trial is done.`;
  if (!left.concurrent) return `${text} ${formatDuration(left.seconds)} of trials left, run one by one.`;
  return `${text} About ${formatDuration(left.seconds / left.concurrent)} left with ${left.concurrent} at a time.`;
}

function buildRunningRow(beat) {
  const bar = make("progress", { max: Math.max(1, beat.epochs || 1), value: beat.epoch || 0 });
  bar.setAttribute("aria-label", `epoch ${beat.epoch} of ${beat.epochs}`);
  const doing = `${beat.phase}, epoch ${beat.epoch} of ${beat.epochs} `;
  return make("tr", {},
    make("td", {}, make("code", { textContent: beat.trial })), make("td", { textContent: beat.levels || "" }),
    make("td", {}, doing, bar), make("td", { textContent: `${beat.host}, process ${beat.pid}` }),
    make("td", { textContent: `${formatDuration(secondsSince(beat.time))} ago` }));
}

function showNodes() {
  const nodes = documents.pulse.nodes || [];
  find("nodes-section").hidden = !nodes.length;
  fill("nodes", nodes.map((node) => {
    const use = node.load === undefined
      ? "CPU, GPU and memory use are not known here; Ray's dashboard shows them."
      : `load ${node.load} on ${count(node.cpus, "CPU")}` +
        (node.memory ? `, ${node.memory_used} of ${node.memory} GiB memory in use` : "") + "; GPU use is not known here.";
    return make("li", { textContent: `${node.host}: ${count(node.trials, "running trial")}; ${use}` });
  }));
}

function showNotices() {
  const notices = unreachableSince === null ? describeStudy() : [[
    "warning", `The server of this page has not answered for ${formatDuration((Date.now() - unreachableSince) / 1000)}. ` +
    "What you see may be out of date. The study itself may go on. Start the page again:", (documents.pulse || {}).watch,
  ]];
  const key = JSON.stringify(notices);
  if (find("notices").dataset.key === key) return;
  find("notices").dataset.key = key;
  fill("notices", notices.map(([kind, text, command]) =>
    make("p", { className: `notice ${kind}` }, text, command ? make("code", { textContent: command }) : null)));
}

function describeStudy() {
  const { error, reading, counts, running, silent, left, written, run } = documents.pulse;
  const notices = error ? [["warning", error]] : [];
  if (reading && counts?.done) notices.push(["", "Reading the results: the states come first, numbers, verdicts and figures follow."]);
  if (!counts || !left) return notices;
  const quiet = written === null ? "" : `No process has written for ${formatCoarse(secondsSince(written))}. `;
  if (running.length) {
    if (silent.length) notices.push(["warning", `${count(silent.length, "trial")} went silent: ${silent[0].trial} and others like it have no living process. They start again from their checkpoints.`]);
  } else if (!left.trials) {
    notices.push(["", "All trials are over: what you see is final."]);
  } else if (silent.length) {
    notices.push(["warning", `${quiet}The driver and its trials seem to be gone: ${count(silent.length, "trial")} stopped in the middle. Resume from the checkpoints:`, run]);
  } else {
    notices.push(["", `${written === null ? "No trial has started yet. " : `Nothing is running. ${quiet}`}Start what is missing:`, run]);
  }
  return notices;
}

const formatCoarse = (seconds) => seconds < 60 ? "less than a minute" : count(Math.floor(seconds / 60), "minute");

// cells

function showGrid() {
  const { counts, states, failures = [] } = documents.grid;
  if (!counts) return;
  find("cells-section").hidden = false;
  fill("legend", Object.entries(counts).map(([state, number]) =>
    make("span", {}, make("i", { className: `dot s-${state}` }), `${number} ${MEANINGS[state] || state}`)));
  find("failures-section").hidden = !failures.length;
  fill("failures", failures.map(buildFailure));
  showCells();
}

function showCells() {
  const { cells } = documents.grid, grid = find("grid");
  const ordered = find("order").value === "urgent" ? cells : [...cells].sort((a, b) => a.number - b.number);
  const shown = allCells ? ordered : ordered.slice(0, FIRST_CELLS);
  const elements = shown.map(updateCell);
  // moving an element takes the focus away from it
  const order = elements.map((element) => element.dataset.number).join();
  if (grid.dataset.order !== order && !(grid.contains(document.activeElement) && grid.children.length === elements.length)) {
    grid.replaceChildren(...elements);
    grid.dataset.order = order;
  }
  find("more").hidden = shown.length === ordered.length;
  find("more").textContent = `Show all ${ordered.length} cells`;
}

function updateCell(cell) {
  const key = JSON.stringify(cell);
  let details = cellElements.get(cell.number);
  if (!details) {
    details = make("details", { className: "cell" }, make("summary"), make("div", { className: "inside" }));
    details.dataset.number = cell.number;
    details.addEventListener("toggle", () => { if (details.open) { fillCell(details); drawCell(details); } });
    cellElements.set(cell.number, details);
  }
  details.cell = cell;
  if (details.dataset.key === key) return details;
  details.dataset.key = key;
  const states = cell.states.map((place) => documents.grid.states[place]);
  const levels = Object.entries(cell.levels).map(([name, level]) => `${name} ${level}`).join(", ") || "the only cell";
  const seconds = cell.seconds === null ? "" : formatDuration(cell.seconds);
  details.classList.toggle("has-failed", states.includes("failed"));
  const tally = {};
  for (const state of states) tally[state] = (tally[state] || 0) + 1;
  const label = Object.entries(tally).map(([state, number]) => `${number} ${state}`).join(", ");
  const dots = make("span", { className: "dots", role: "img", "aria-label": label });
  states.forEach((state, index) =>
    dots.append(make("i", { className: `dot s-${state}`, title: `seed ${cell.seeds[index]}: ${state} (${cell.ids[index]})` })));
  details.firstChild.replaceChildren(
    make("span", { className: "levels" }, make("span", { textContent: levels }), make("span", { textContent: seconds })), dots);
  if (details.open) fillCell(details);
  return details;
}

function fillCell(details) {
  const { cell } = details, inside = details.lastChild;
  const rows = cell.ids.map((id, index) => make("tr", {}, make("td", {}, make("code", { textContent: id })),
    make("td", { textContent: cell.seeds[index] }), make("td", { textContent: documents.grid.states[cell.states[index]] })));
  const head = make("thead", {}, make("tr", {}, ...["trial", "seed", "state"].map((textContent) => make("th", { textContent, scope: "col" }))));
  const command = make("p", { className: "note" }, "What determines a trial: ", make("code", { textContent: `${documents.pulse.explain} ${cell.ids[0]}` }));
  const drawings = inside.querySelector(".figures") || make("div", { className: "figures" });
  inside.replaceChildren(make("table", {}, head, make("tbody", {}, ...rows)), command, drawings);
}

async function drawCell(details) {
  const drawings = details.querySelector(".figures");
  try {
    const response = await fetch(`cell/${details.cell.number}.json`, { cache: "no-store", credentials: "omit" });
    if (!response.ok) return;
    const { figures } = await response.json();
    if (figures.length) drawings.replaceChildren(...figures.map(buildFigure));
    else drawings.replaceChildren(make("p", { className: "note", textContent: "Curves are written when a trial is done; no trial of this cell is." }));
  } catch (error) {
    // the next poll says that the server does not answer
  }
}

function buildFailure(failure) {
  const others = failure.count > 1 ? ` and ${count(failure.count - 1, "other trial")}` : "";
  return make("div", { className: "failure" },
    make("p", {}, make("b", { textContent: failure.reason }), `: ${failure.message}`),
    make("p", { className: "note" }, make("code", { textContent: failure.trial }), ` (${failure.levels}, attempt ${failure.attempt})${others}`),
    make("details", {}, make("summary", { textContent: `Traceback of ${failure.trial}` }),
      make("pre", { tabIndex: 0, textContent: failure.traceback })));
}

// verdicts and figures

// Nothing is left to run, and the verdicts and figures are of all that is done.
function isFinal() {
  const { left, counts } = documents.pulse;
  return left?.trials === 0 && documents.analysis?.done === (counts.done || 0);
}

function showAnalysis() {
  shownAsFinal = isFinal();
  const { error, verdicts = [], figures = [], done, total } = documents.analysis;
  const from = done === undefined ? "" : `From ${done} of ${count(total, "trial")}.`;
  const badge = isFinal() ? null : make("span", { className: "badge", textContent: "not final" });
  find("verdicts-section").hidden = !verdicts.length && !error;
  fill("verdicts-note", [error || from, " ", badge ?? ""]);
  fill("verdicts", verdicts.map(buildVerdict));
  find("figures-section").hidden = !figures.length;
  fill("figures-note", [from, " ", badge ? badge.cloneNode(true) : ""]);
  fill("figures", figures.map(buildFigure));
}

function buildVerdict({ claim, source, status, sentence, n }) {
  const word = status.charAt(0).toUpperCase() + status.slice(1);
  const seeds = n ? ` So far n = ${n}.` : "";
  return make("div", { className: `verdict ${status}` },
    make("p", { className: "note", textContent: `Claim: ${claim}${source ? ` (${source})` : ""}` }),
    make("p", {}, make("b", { textContent: `${word}.` }), ` ${sentence}${seeds}`));
}

function buildFigure({ title, caption, svg }) {
  const figure = make("figure", {}, make("h3", { textContent: title }));
  if (svg) figure.append(document.importNode(new DOMParser().parseFromString(svg, "image/svg+xml").documentElement, true));
  figure.append(make("figcaption", { textContent: caption }));
  return figure;
}

find("order").addEventListener("change", showCells);
find("more").addEventListener("click", () => { allCells = true; showCells(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
setInterval(() => { if (documents.pulse?.counts) { fill("running", (documents.pulse.running || []).map(buildRunningRow)); } showNotices(); }, 1000);
poll();
