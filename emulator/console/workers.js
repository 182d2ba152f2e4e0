// A card for each worker: its state, jobs and pings, and buttons to end it.

import { act, ask } from "./api.js";
import { button, byId, count, h, setText } from "./dom.js";

const cards = new Map();
let shown = [];

export function start() {
  byId("start-worker").onclick = startWorker;
  byId("close-log").onclick = () => byId("log").close();
  setInterval(() => shown.forEach(draw), 1000);
}

export function update(workers) {
  shown = workers;
  for (const worker of workers) {
    if (!cards.has(worker.id)) cards.set(worker.id, newCard(worker));
    draw(worker);
  }
  order();
}

const startWorker = () => act("POST", "/workers");

/** What a job that has just been submitted waits for. */
export function outlook() {
  const inState = (...states) => shown.filter(({ state }) => states.includes(state));
  const booting = inState("initializing").map(({ id }) => id).join(" and ");
  if (inState("idle", "running").length) return "Waiting for the first token.";
  if (booting) return `The job is queued: ${booting} is starting, which takes half a minute with the demo model.`;
  if (inState("unhealthy").length) return "The job is queued: no worker is healthy.";
  return "The job is queued: no worker is running. Start one in the Workers panel.";
}

/** Live workers first. */
function order() {
  const gone = (worker) => Number(worker.state === "exited");
  const sorted = [...shown].sort((a, b) => gone(a) - gone(b)).map(({ id }) => cards.get(id).element);
  if (sorted.some((element, index) => byId("workers").children[index] !== element)) byId("workers").replaceChildren(...sorted);
}

function newCard({ id, pid }) {
  const state = h("span");
  const facts = h("p", { class: "muted" });
  const send = (verb) => () => act("POST", `/workers/${id}/${verb}`);
  const ends = [button("Terminate", send("terminate"), `Terminate ${id}: SIGTERM`), button("Kill", () => askToKill(id), `Kill ${id}: SIGKILL`, "quiet danger")];
  const again = button("Start another", startWorker, `Start another worker in place of ${id}`);
  const acts = pid ? [...ends, again, button("Log", () => openLog(id), `Log of ${id}`)] : [];
  const element = h("li", { class: "worker" }, h("div", {}, h("h3", {}, id), state), facts, h("div", { class: "acts" }, ...acts));
  return { element, state, facts, ends, again };
}

function draw(worker) {
  const { element, state, facts, ends, again } = cards.get(worker.id);
  const exited = worker.state === "exited";
  state.className = `state ${worker.state}`;
  setText(state, exited ? `exited ${worker.exit_code}` : worker.state);
  element.classList.toggle("gone", exited);
  for (const end of ends) end.hidden = exited;
  again.hidden = !exited;
  setText(facts, exited ? `pid ${worker.pid}` : `${count(worker.jobs.length, "job")} · ${pinged(worker.last_ping)}${worker.pid ? ` · pid ${worker.pid}` : ""}`);
}

/** SIGKILL takes a worker's jobs with it, so it is asked for twice. */
function askToKill(id) {
  const jobs = shown.find((worker) => worker.id === id).jobs.length;
  byId("kill-what").textContent = `Kill ${id} without notice? ${jobs ? `Its ${count(jobs, "job")} will be retried from the start.` : "It has no jobs."}`;
  byId("kill").returnValue = "";
  byId("kill").onclose = () => byId("kill").returnValue === "kill" && act("POST", `/workers/${id}/kill`);
  byId("kill").showModal();
  byId("keep-running").focus(); // by script: `autofocus` would want the focus when the page loads, too
}

function pinged(last) {
  if (!last) return "no ping yet";
  return `ping ${Math.max(0, Math.round(Date.now() / 1000 - last.wall))} s ago`;
}

async function openLog(id) {
  const log = await ask("GET", `/workers/${id}/log`);
  if (!log) return;
  const dialog = byId("log");
  dialog.querySelector("h2").textContent = `Log of ${id}`;
  dialog.querySelector("pre").textContent = log.lines.join("\n") || "The log is empty.";
  dialog.showModal();
  dialog.querySelector("pre").scrollTop = dialog.querySelector("pre").scrollHeight;
}
