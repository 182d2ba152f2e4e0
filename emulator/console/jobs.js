// The job table: one row per job, newest first, each with its timing as a bar.

import { ENDPOINT, act } from "./api.js";
import { button, byId, duration, h, notice, number, setText } from "./dom.js";
import { request } from "./chat.js";
import * as job from "./job.js";

const SHOWN = 100;
const RETRIED = ["FAILED", "TIMED_OUT"];

const rows = new Map();
let known = new Map();

export function start() {
  byId("run").onclick = run;
  byId("purge").onclick = async () => {
    const done = await act("POST", `${ENDPOINT}/purge-queue`);
    if (done) notice(`${done.removed} waiting jobs cancelled.`);
  };
  byId("clear").onclick = async () => {
    const left = await act("DELETE", "/jobs");
    if (left) replace(left.jobs);
  };
  setInterval(() => running().forEach(draw), 200);
}

/** Jobs that are new or have changed. */
export function update(changed) {
  for (const summary of changed) known.set(summary.id, summary);
  const newest = Math.max(...[...known.values()].map((summary) => summary.number));
  for (const summary of changed) job.changed(summary, summary.number === newest);
  render();
}

/** Replaces all known jobs. */
export function replace(jobs) {
  known = new Map(jobs.map((summary) => [summary.id, summary]));
  render();
}

async function run() {
  const input = request(byId("question").value.trim());
  const jobs = Array.from({ length: byId("burst").valueAsNumber || 1 }, () => act("POST", `${ENDPOINT}/run`, { input }));
  await Promise.all(jobs);
}

const running = () => [...known.values()].filter((summary) => !summary.ended && rows.has(summary.id));

function render() {
  const shown = [...known.values()].sort((a, b) => b.number - a.number).slice(0, SHOWN);
  const ids = new Set(shown.map(({ id }) => id));
  for (const [id, row] of rows) if (!ids.has(id)) (row.element.remove(), rows.delete(id));
  let before = byId("jobs").firstElementChild;
  for (const summary of shown) {
    if (!rows.has(summary.id)) {
      rows.set(summary.id, newRow(summary));
      byId("jobs").insertBefore(rows.get(summary.id).element, before);
    }
    before = rows.get(summary.id).element.nextElementSibling;
    draw(summary);
  }
  byId("no-jobs").hidden = shown.length > 0;
}

function newRow({ id, number: n }) {
  const cell = (kind = "") => h("td", { class: kind });
  const cells = { state: cell(), worker: cell("by"), bar: cell(), delay: cell("n"), ttft: cell("n"), speed: cell("n"), cached: cell("n"), act: cell("act") };
  const parts = ["queue", "prompt", "stream"].map((part) => h("i", { class: part }));
  const bar = h("div", { class: "bar", role: "img" }, ...parts);
  cells.bar.append(bar, h("small"));
  const [state, refused] = [h("span"), h("b", { class: "refusals" })];
  cells.state.append(state, refused);
  const pick = button(`#${n}`, () => (job.pick(id), render()), `Job ${n}: show its timeline`, "pick");
  const element = h("tr", {}, h("th", { scope: "row" }, pick), ...Object.values(cells));
  return { element, cells, parts, bar, state, refused };
}

function draw(summary) {
  const { element, cells, parts, bar, state, refused } = rows.get(summary.id);
  const { figures } = summary;
  element.classList.toggle("picked", summary.id === job.picked());
  state.className = `state ${summary.state}`;
  setText(state, summary.state.toLowerCase().replace("_", " "));
  setText(refused, summary.refused ? `${summary.refused} refused` : "");
  element.title = summary.error ?? "";
  setText(cells.worker, `${summary.worker ?? "–"}${summary.deliveries > 1 ? `, delivery ${summary.deliveries}` : ""}`);
  setText(cells.delay, duration(figures.delay_ms));
  setText(cells.ttft, duration(figures.ttft_ms));
  setText(cells.speed, number(figures.tokens_per_s));
  setText(cells.cached, figures.prompt_tokens === null ? "–" : `${figures.cached_tokens ?? 0}/${figures.prompt_tokens}`);
  const spans = spansOf(summary);
  const total = spans[0] + spans[1] + spans[2];
  const width = 100 * Math.min(1, total / scale());
  parts.forEach((part, index) => (part.style.width = `${(width * spans[index]) / (total || 1)}%`));
  bar.setAttribute("aria-label", `queue ${duration(spans[0])}, prompt ${duration(spans[1])}, stream ${duration(spans[2])}`);
  setText(cells.bar.lastChild, duration(total));
  offer(summary, cells.act);
}

/** Milliseconds in the queue, from there to the first chunk, and of streaming. */
function spansOf({ figures, queued, ended }) {
  const total = figures.total_ms ?? Date.now() - queued.wall * 1000;
  const taken = figures.delay_ms ?? total;
  const first = Math.max(taken, figures.ttft_ms ?? total);
  return [taken, first - taken, Math.max(0, (ended ? total : Math.max(total, first)) - first)];
}

/** Milliseconds of a full bar, capped so that a job that waited for a boot does not dwarf the others. */
function scale() {
  const totals = [...known.values()].slice(-30).map(({ figures }) => figures.total_ms ?? 0).sort((a, b) => a - b);
  const median = totals[Math.floor(totals.length / 2)];
  return Math.max(100, Math.min(totals.at(-1), 3 * median || Infinity));
}

function offer({ id, number: n, state, ended }, cell) {
  const verb = !ended ? "Cancel" : RETRIED.includes(state) ? "Retry" : "";
  if ((cell.firstChild?.textContent ?? "") === verb) return;
  const send = () => act("POST", `${ENDPOINT}/${verb.toLowerCase()}/${id}`);
  cell.replaceChildren(...(verb ? [button(verb, send, `${verb} job ${n}`)] : []));
}
