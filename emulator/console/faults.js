// Every fault that `PUT /faults` takes, as fields and buttons. What is shown is what the emulator has.

import { act, ask } from "./api.js";
import { button, byId, h } from "./dom.js";

const DOORS = ["stream", "done", "take"];
const CHANCES = [
  { name: "fail", label: "5xx", extra: { name: "fail_status", label: "status", min: 500, max: 599 } },
  { name: "busy", label: "429", extra: { name: "retry_after_s", label: "after, s", min: 0 } },
  { name: "drop", label: "Dropped", says: "connection dropped" },
];
const OF_POSTS = [{ name: "lost_reply", label: "Reply lost", says: "reply lost" }];
const SWITCHES = [
  { name: "hold_until_stop", label: "Hold jobs until a worker got SIGTERM" },
  { name: "miss_pings", label: "Miss pings" },
  { name: "forget_keys", label: "Forget idempotency keys" },
];

let faults = null;
let changing = Promise.resolve();
const shows = [];

export function start() {
  byId("no-faults").onclick = async () => update(await act("DELETE", "/faults"));
  const doors = DOORS.map(door);
  const tabs = DOORS.map((name, index) => tab(name, index, doors));
  byId("faults").append(
    h("div", { class: "tabs", role: "group", "aria-label": "Door" }, ...tabs), ...doors,
    h("div", { class: "fault-rows" }, chance([], { name: "duplicate", label: "Job twice", says: "job delivered twice" })),
    ...SWITCHES.map(toggle), field([], { name: "seed", label: "Seed of all rates", min: 0 }),
  );
  select(tabs, doors, 0);
}

/** The faults as the emulator has them now. */
export function update(now) {
  if (!now) return;
  faults = now;
  for (const show of shows) show();
}

/** Changes one setting of what the emulator has now: one change after the other, so none is lost. */
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

function tab(name, index, doors) {
  const element = h("button", { type: "button" }, `POST ${name}`.replace("POST take", "GET take"));
  element.onclick = () => select([...element.parentElement.children], doors, index);
  shows.push(() => element.classList.toggle("on", active(faults[name])));
  return element;
}

/** Whether any of a door's faults can strike. */
function active(door) {
  const strikes = (fault) => fault?.rate > 0 || fault?.next > 0;
  return door.latency_ms > 0 || Boolean(door.max_bytes) || [...CHANCES, ...OF_POSTS].some(({ name }) => strikes(door[name]));
}

function select(tabs, doors, chosen) {
  tabs.forEach((each, index) => each.setAttribute("aria-pressed", String(index === chosen)));
  doors.forEach((each, index) => (each.hidden = index !== chosen));
}

function door(name) {
  const brings = name !== "take";
  const rows = [...CHANCES, ...(brings ? OF_POSTS : [])].map((fault) => chance([name], fault));
  const size = !brings ? [] : [field([name], { name: "max_bytes", label: "413 above, bytes", min: 1, empty: null })];
  return h("div", { class: "fault-rows" }, field([name], { name: "latency_ms", label: "Latency, ms", min: 0, step: 10 }), ...rows, ...size);
}

/** A fault that strikes at a rate, or the next time. */
function chance(where, { name, label, says = label, extra }) {
  const path = [...where, name];
  const full = [...where, says].join(": ");
  const rate = input([...path, "rate"], { min: 0, max: 100, step: 5, says: `${full}, percent`, factor: 100 });
  const next = button("Next one", () => change([...path, "next"], (due) => due + 1), `${full}, the next one`);
  shows.push(() => {
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

function input(path, { min, max, step = 1, empty = 0, factor = 1, says }) {
  const element = h("input", { type: "number", min, step, ...(max !== undefined && { max }), ...(says && { "aria-label": says }) });
  element.onchange = () => {
    const value = Number.isNaN(element.valueAsNumber) ? empty : element.valueAsNumber / factor;
    change(path, () => value);
  };
  shows.push(() => {
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
  shows.push(() => (element.checked = faults[name]));
  return h("label", { class: "fault switch" }, h("span", {}, label), element);
}
