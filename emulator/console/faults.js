// Every fault that `PUT /faults` takes, as fields and buttons, which show the emulator's state.

import { act, ask } from "./api.js";
import { button, byId, h } from "./dom.js";

const ROUTES = ["stream", "done", "take"];
const FAULTS = [
  { name: "fail", label: "5xx", extra: { name: "fail_status", label: "status", min: 500, max: 599 } },
  { name: "busy", label: "429", extra: { name: "retry_after_s", label: "after, s", min: 0 } },
  { name: "drop", label: "Dropped", spoken: "connection dropped" },
];
const POST_FAULTS = [{ name: "lost_reply", label: "Reply lost", spoken: "reply lost" }];
const SWITCHES = [
  { name: "hold_until_stop", label: "Hold jobs until a worker gets SIGTERM" },
  { name: "miss_pings", label: "Miss pings" },
  { name: "forget_keys", label: "Forget idempotency keys" },
];

let faults = null;
let changing = Promise.resolve();
const renderers = [];

export function start() {
  byId("no-faults").onclick = async () => update(await act("DELETE", "/faults"));
  const panels = ROUTES.map(routePanel);
  const tabs = ROUTES.map((name, index) => tab(name, index, panels));
  byId("faults").append(
    h("div", { class: "tabs", role: "group", "aria-label": "Route" }, ...tabs), ...panels,
    h("div", { class: "fault-rows" }, chance([], { name: "duplicate", label: "Duplicate", spoken: "job delivered twice" })),
    ...SWITCHES.map(toggle), field([], { name: "seed", label: "Random seed", min: 0 }),
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
  const element = h("button", { type: "button" }, `POST ${name}`.replace("POST take", "GET take"));
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
  const size = !isPost ? [] : [field([name], { name: "max_bytes", label: "413 above, bytes", min: 1, empty: null })];
  return h("div", { class: "fault-rows" }, field([name], { name: "latency_ms", label: "Latency, ms", min: 0, step: 10 }), ...rows, ...size);
}

/** A fault that occurs at a rate, or the next time. */
function chance(where, { name, label, spoken = label, extra }) {
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
  return h("div", { class: "fault" }, h("span", {}, label), h("span", { class: "unit" }, rate, "%"), next, more);
}

function field(where, what) {
  return h("label", { class: "fault" }, h("span", {}, what.label), input([...where, what.name], what));
}

function input(path, { min, max, step = 1, empty = 0, factor = 1, spoken }) {
  const element = h("input", { type: "number", min, step, ...(max !== undefined && { max }), ...(spoken && { "aria-label": spoken }) });
  element.onchange = () => {
    const value = Number.isNaN(element.valueAsNumber) ? empty : element.valueAsNumber / factor;
    change(path, () => value);
  };
  renderers.push(() => {
    const value = at(path);
    if (document.activeElement !== element) element.value = value === null ? "" : Math.round(value * factor * 100) / 100;
    element.classList.toggle("on", Boolean(value) && element.closest(".fault") !== null && !["fail_status", "retry_after_s"].includes(path.at(-1)));
  });
  return element;
}

function toggle({ name, label }) {
  const element = h("input", { type: "checkbox", role: "switch" });
  element.onchange = () => {
    const on = element.checked;
    change([name], () => on);
  };
  renderers.push(() => (element.checked = faults[name]));
  return h("label", { class: "fault switch" }, h("span", {}, label), element);
}
