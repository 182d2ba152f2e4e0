// One job in detail: a lane for the queue and for each delivery, events, input and output.

import { byId, duration, h, notice, number, pretty, rate } from "./dom.js";

const RELOAD_DELAY_MS = 250;
const REDRAW_MS = 500;
const MAX_TICKS = 300;
const MAX_TEXT = 20_000;
const MAX_STEPS = 5;

let current = null;
let shown = null;
let following = true;
let due = null;

export const picked = () => current;

export function start() {
  byId("follow").onclick = () => follow(!following);
  setInterval(() => shown && !shown.ended && byId("job").querySelector(".lanes").replaceWith(lanes(shown)), REDRAW_MS);
}

/** Shows a job, and stops following the newest one. */
export function pick(id) {
  follow(false);
  current = id;
  load();
}

/** A job has changed: it is shown if it is the selected one, or the newest while following. */
export function changed({ id }, newest) {
  if (following && newest) current = id;
  if (id === current) due ??= setTimeout(load, RELOAD_DELAY_MS);
}

function follow(on) {
  following = on;
  byId("follow").setAttribute("aria-pressed", String(on));
}

async function load() {
  due = null;
  const answer = await fetch(`/jobs/${current}`);
  if (!answer.ok) return notice("The emulator no longer has this job.");
  show(await answer.json());
}

function show(job) {
  shown = job;
  const open = [...byId("job").querySelectorAll("details[open]")].map((details) => details.dataset.of);
  byId("job").replaceChildren(
    heading(job),
    lanes(job),
    events(job),
    text("Output", job.error ?? job.output ?? streamed(job), open),
    text("Input", job.input, open),
  );
}

/** A lane for the queue and for each delivery, up to the job's end or until now. */
function lanes(job) {
  const end = job.ended ?? { monotonic: job.queued.monotonic + Math.max(0.05, Date.now() / 1000 - job.queued.wall) };
  const span = Math.max(0.001, end.monotonic - job.queued.monotonic);
  const at = (moment) => (100 * (moment.monotonic - job.queued.monotonic)) / span;
  return h("div", { class: "lanes" }, queueLane(job, at), ...job.attempts.map((attempt) => lane(attempt, job, at)), axis(span));
}

function heading({ number: n, kind, state, id, figures, error }) {
  const facts = [`${number(figures.completion_tokens)} tokens`, `${rate(figures.tokens_per_s)} tokens/s`, `TTFT ${duration(figures.ttft_ms)}`, `total ${duration(figures.total_ms)}`];
  return h("div", { class: "job-head" }, h("strong", {}, `#${n}`), h("span", { class: `state ${state}` }, state.toLowerCase().replace("_", " ")),
    h("span", {}, kind), h("code", {}, id), h("span", { class: "muted" }, facts.join(" · ")), error && h("p", { class: "problem" }, error));
}

/** From submission to the first delivery; later waits show as gaps between deliveries. */
function queueLane({ queued, attempts }, at) {
  const end = attempts.length ? at(attempts[0].taken) : 100;
  return track("queue", [span("queue", at(queued), end, "waiting")]);
}

function lane(attempt, job, at) {
  const { taken, chunks, refused, worker } = attempt;
  const first = chunks.length ? at(chunks[0]) : endOf(attempt, job, at);
  const every = Math.ceil(chunks.length / MAX_TICKS);
  const marks = [
    span("prompt", at(taken), first, "until the first text"),
    span("stream", first, endOf(attempt, job, at), `${chunks.length} chunks`),
    ...chunks.filter((_, index) => index % every === 0).map((chunk) => mark("chunk", at(chunk), `${chunk.size} bytes`)),
    ...refused.map((refusal) => mark("refused", at(refusal), `${refusal.route}: ${refusal.status ?? "dropped"}`)),
  ];
  const name = attempt.duplicate ? `${worker}, duplicate` : worker;
  return track(name, marks, `${chunks.length} chunks, ${refused.length} refused`);
}

function endOf(attempt, { events: all, ended, owner }, at) {
  const lost = all.find(({ kind, monotonic }) => kind === "retried" && monotonic >= attempt.taken.monotonic);
  return at(lost ?? ended ?? { monotonic: Infinity });
}

const clip = (percent) => Math.min(100, Math.max(0, percent));

function span(kind, from, to, title) {
  return h("i", { class: `span ${kind}`, title, style: `left:${clip(from)}%;width:${Math.max(0, clip(to) - clip(from))}%` });
}

const mark = (kind, at, title) => h("b", { class: kind, title, style: `left:${clip(at)}%` });

function track(name, marks, spoken = name) {
  return h("div", { class: "lane" }, h("span", { class: "lane-name" }, name), h("div", { class: "track", role: "img", "aria-label": spoken }, ...marks));
}

function axis(seconds) {
  const step = roundStep(seconds / MAX_STEPS);
  const steps = Array.from({ length: Math.floor(seconds / step + 1e-9) + 1 }, (_, index) => index * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const labels = steps.map((at) => h("span", { style: `left:${(100 * at) / seconds}%` }, `${at.toFixed(digits)} s`));
  return h("div", { class: "lane axis", "aria-hidden": "true" }, h("span", { class: "lane-name" }), h("div", {}, ...labels));
}

/** The smallest of 1, 2, 5, 10, 20, 50, … (times any power of ten) that is not below `least`. */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least);
}

function events({ events: all, queued }) {
  const since = ({ monotonic }) => `+${duration((monotonic - queued.monotonic) * 1000)}`;
  const items = all.map((event) => h("li", { class: event.kind.replace(" ", "-") }, h("time", {}, since(event)), h("strong", {}, event.kind), ` ${event.detail}`));
  return h("ol", { class: "events", "aria-label": "Events" }, ...items);
}

function streamed({ attempts }) {
  return attempts.find((attempt) => attempt.owner)?.chunks.map((chunk) => chunk.output) ?? null;
}

function text(name, value, open) {
  const whole = typeof value === "string" ? value : isEvents(value) ? value.join("") : pretty(value);
  const clipped = whole.length > MAX_TEXT ? `${whole.slice(0, MAX_TEXT)}…` : whole;
  return h("details", { "data-of": name, open: open.includes(name) }, h("summary", {}, name), h("pre", { class: "code", tabIndex: 0 }, clipped));
}

/** Whether an output is server-sent events, which are shown as they were sent. */
const isEvents = (value) => Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string" && item.endsWith("\n\n"));
