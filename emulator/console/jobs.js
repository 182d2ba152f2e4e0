// The job table: one row per job, newest first, each with its timing as a bar.

import { ENDPOINT, act } from "./api.js";
import { jobInput } from "./chat.js";
import { button, byId, count, duration, h, notice, rate, setText } from "./dom.js";
import * as job from "./job.js";

const SHOWN = 100;
const RETRIED = ["FAILED", "TIMED_OUT"];

const rows = new Map();
let known = new Map();

export function start() {
  byId("run").onclick = run;
  byId("purge").onclick = async () => {
    const done = await act("POST", `${ENDPOINT}/purge-queue`);
    if (done) notice(`${count(done.removed, "waiting job")} cancelled.`);
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
  const input = jobInput(byId("question").value.trim());
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
  const cell = (kind) => h("td", { class: kind });
  const figure = (label) => h("td", { class: "n", "data-label": label });
  const cells = {
    state: cell("is"), worker: cell("by"), bar: cell("phases"), delay: figure("Delay"), ttft: figure("TTFT"), speed: figure("Tokens/s"), cached: figure("Cached"), act: cell("act"),
  };
  const bar = h("div", { class: "bar", role: "img" });
  cells.bar.append(bar, h("small"));
  const [state, refused] = [h("span"), h("b", { class: "refusals" })];
  cells.state.append(state, refused);
  const pick = button(`#${n}`, () => (job.pick(id), render()), `Job ${n}: show its timeline`, "pick");
  const element = h("tr", {}, h("th", { scope: "row" }, pick), ...Object.values(cells));
  return { element, cells, bar, state, refused };
}

function draw(summary) {
  const { element, cells, bar, state, refused } = rows.get(summary.id);
  const { figures } = summary;
  element.classList.toggle("picked", summary.id === job.picked());
  state.className = `state ${summary.state}`;
  setText(state, summary.state.toLowerCase().replace("_", " "));
  setText(refused, summary.refused ? `${summary.refused} refused` : "");
  element.title = summary.error ?? "";
  setText(cells.worker, `${summary.worker ?? "–"}${summary.deliveries > 1 ? ` ×${summary.deliveries}` : ""}`);
  cells.worker.title = summary.deliveries > 1 ? `delivered ${summary.deliveries} times` : "";
  setText(cells.delay, duration(figures.delay_ms));
  setText(cells.ttft, duration(figures.ttft_ms));
  setText(cells.speed, rate(figures.tokens_per_s));
  setText(cells.cached, figures.prompt_tokens === null ? "–" : `${figures.cached_tokens ?? 0}/${figures.prompt_tokens}`);
  const total = totalOf(summary);
  drawBar(bar, spansOf(summary, total), Math.max(total, scale()));
  setText(cells.bar.lastChild, duration(total));
  offer(summary, cells.act);
}

/** Milliseconds from submission to the end, or until now. */
const totalOf = ({ figures, queued }) => figures.total_ms ?? Math.max(0, Date.now() - queued.wall * 1000);

/** [phase, milliseconds] of a job in their order. A retried job has each phase again. */
function spansOf({ phases }, total) {
  return phases.map(({ phase, ms }, index) => [phase, Math.max(0, (phases[index + 1]?.ms ?? total) - ms)]);
}

function drawBar(bar, spans, full) {
  while (bar.children.length > spans.length) bar.lastChild.remove();
  spans.forEach(([phase, ms], index) => {
    if (!bar.children[index]) bar.append(h("i"));
    bar.children[index].className = phase;
    bar.children[index].style.width = `${(100 * ms) / full}%`;
  });
  bar.setAttribute("aria-label", spans.map(([phase, ms]) => `${phase} ${duration(ms)}`).join(", "));
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
