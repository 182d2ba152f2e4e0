// Every fault that `PUT /faults` takes, as fields and buttons, which show the emulator's state.

import { act, ask } from "./api.js";
import { button, byId, h } from "./dom.js";

const ROUTES = {
  stream: { title: "POST stream", hint: "A worker sends a chunk of a job's answer." },
  done: { title: "POST done", hint: "A worker reports a job's result." },
  take: { title: "GET take", hint: "A worker polls for jobs." },
};
const FAULTS = [
  { name: "fail", label: "5xx", extra: { name: "fail_status", label: "status", min: 500, max: 599 } },
  { name: "busy", label: "429", extra: { name: "retry_after_s", label: "Retry-After, s", min: 0 } },
  { name: "drop", label: "Dropped", spoken: "connection dropped", hint: "The connection closes, and the request has no effect." },
];
const POST_FAULTS = [{ name: "lost_reply", label: "Reply lost", spoken: "reply lost", hint: "The connection closes, but the request takes effect." }];
const SWITCHES = [
  { name: "hold_until_stop", label: "Hold jobs", hint: "Only workers that were sent SIGTERM get any." },
  { name: "miss_pings", label: "Ignore pings", hint: "Workers look lost, and their jobs are retried." },
  { name: "forget_keys", label: "Forget idempotency keys", hint: "A POST that is sent twice counts twice." },
];

let faults = null;
let changing = Promise.resolve();
const renderers = [];

export function start() {
  byId("no-faults").onclick = async () => {
    byId("faults").querySelectorAll("[aria-invalid]").forEach((element) => tell(element, ""));
    update(await act("DELETE", "/faults"));
  };
  const panels = Object.keys(ROUTES).map(routePanel);
  const tabs = Object.keys(ROUTES).map((name, index) => tab(name, index, panels));
  byId("faults").append(
    h("div", { class: "tabs", role: "group", "aria-label": "Route" }, ...tabs), ...panels,
    h("div", { class: "fault-rows" }, chance([], { name: "duplicate", label: "Duplicate", spoken: "job delivered twice", hint: "A job is delivered to two polls." })),
    ...SWITCHES.map(toggle), field([], { name: "seed", label: "Random seed", min: 0, hint: "The same seed gives the same faults." }),
  );
  select(tabs, panels, 0);
}

/** Shows the emulator's current faults. */
export function update(now) {
  if (!now) return;
  faults = now;
  for (const render of renderers) render();
}

/** Changes one of the emulator's current settings. Changes are serialized, so that none is lost. */
function change(path, edit) {
  changing = changing.then(async () => {
    const changed = await ask("GET", "/faults");
    if (!changed) return;
    const part = path.slice(0, -1).reduce((parent, name) => parent[name], changed);
    part[path.at(-1)] = edit(part[path.at(-1)]);
    update(await act("PUT", "/faults", changed));
  });
}

const at = (path) => path.reduce((part, name) => part[name], faults);

function tab(name, index, panels) {
  const element = h("button", { type: "button" }, ROUTES[name].title);
  element.onclick = () => select([...element.parentElement.children], panels, index);
  renderers.push(() => element.classList.toggle("on", active(faults[name])));
  return element;
}

/** Whether any of a route's faults can occur. */
function active(route) {
  const canOccur = (fault) => fault?.rate > 0 || fault?.next > 0;
  return route.latency_ms > 0 || Boolean(route.max_bytes) || [...FAULTS, ...POST_FAULTS].some(({ name }) => canOccur(route[name]));
}

function select(tabs, panels, chosen) {
  tabs.forEach((each, index) => each.setAttribute("aria-pressed", String(index === chosen)));
  panels.forEach((each, index) => (each.hidden = index !== chosen));
}

function routePanel(name) {
  const isPost = name !== "take";
  const rows = [...FAULTS, ...(isPost ? POST_FAULTS : [])].map((fault) => chance([name], fault));
  const size = !isPost ? [] : [field([name], { name: "max_bytes", label: "Largest body, bytes", min: 1, empty: null, hint: "A larger one gets 413." })];
  return h("div", { class: "fault-rows" }, h("p", { class: "hint" }, ROUTES[name].hint), field([name], { name: "latency_ms", label: "Latency, ms", min: 0, step: 10 }), ...rows, ...size);
}

/** A fault that occurs at a rate, or the next time. */
function chance(where, { name, label, spoken = label, extra, hint }) {
  const path = [...where, name];
  const full = [...where, spoken].join(": ");
  const rate = input([...path, "rate"], { min: 0, max: 100, step: 5, spoken: `${full}, percent`, factor: 100 });
  const next = button("Next one", () => change([...path, "next"], (due) => due + 1), `${full}, the next one`);
  renderers.push(() => {
    const due = at(path).next;
    next.textContent = due ? `Next ${due}` : "Next one";
    next.classList.toggle("on", due > 0);
  });
  const more = extra ? h("label", { class: "inline" }, extra.label, input([...where, extra.name], extra)) : null;
  return h("div", { class: "fault" }, named(label, hint), h("span", { class: "unit" }, rate, "%"), next, more, problem());
}

function field(where, what) {
  return h("label", { class: "fault one" }, named(what.label, what.hint), input([...where, what.name], what), problem());
}

const named = (label, hint) => h("span", { class: "name" }, label, hint && h("small", { class: "hint" }, hint));

const problem = () => h("small", { class: "problem", role: "alert" });

function input(path, { min, max, step = 1, empty = 0, factor = 1, spoken }) {
  const element = h("input", { type: "number", min, step, ...(max !== undefined && { max }), ...(spoken && { "aria-label": spoken }) });
  element.onchange = () => {
    if (!accepted(element, min, max)) return;
    const value = Number.isNaN(element.valueAsNumber) ? empty : element.valueAsNumber / factor;
    change(path, () => value);
  };
  renderers.push(() => {
    const value = at(path);
    if (document.activeElement !== element && !element.hasAttribute("aria-invalid")) element.value = value === null ? "" : Math.round(value * factor * 100) / 100;
    element.classList.toggle("on", Boolean(value) && element.closest(".fault") !== null && !["fail_status", "retry_after_s"].includes(path.at(-1)));
  });
  return element;
}

function toggle({ name, label, hint }) {
  const element = h("input", { type: "checkbox", role: "switch" });
  element.onchange = () => {
    const on = element.checked;
    change([name], () => on);
  };
  renderers.push(() => (element.checked = faults[name]));
  return h("label", { class: "fault one" }, named(label, hint), element);
}

/** Whether a number can be sent; if not, says at the field what it takes. Steps of 5 or 10 are only what its arrows do. */
function accepted(element, min, max) {
  const { badInput, rangeUnderflow, rangeOverflow, stepMismatch } = element.validity;
  const whole = element.step === "1";
  const wrong = badInput || rangeUnderflow || rangeOverflow || (whole && stepMismatch);
  const what = whole ? "a whole number" : "a number";
  const takes = max === undefined ? `${what} from ${min} on` : `${what} from ${min} to ${max}`;
  tell(element, wrong ? `This takes ${takes}.` : "");
  return !wrong;
}

/** Shows what is wrong at a field; nothing, if it is all right. */
function tell(element, wrong) {
  if (wrong) element.setAttribute("aria-invalid", "true");
  else element.removeAttribute("aria-invalid");
  element.closest(".fault").querySelector(".problem").textContent = wrong;
}
