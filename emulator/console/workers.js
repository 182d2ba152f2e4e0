// A card for each worker: its state, jobs and pings, and buttons to end it.

import { act, ask } from "./api.js";
import { button, byId, h, setText } from "./dom.js";

const cards = new Map();
let shown = [];

export function start() {
  byId("start-worker").onclick = () => act("POST", "/workers");
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
  const ends = [button("Terminate", send("terminate"), `Terminate ${id}: SIGTERM`), button("Kill", send("kill"), `Kill ${id}: SIGKILL`, "quiet danger")];
  const acts = pid ? [...ends, button("Log", () => openLog(id), `Log of ${id}`)] : [];
  const element = h("li", { class: "worker" }, h("div", {}, h("h3", {}, id), state), facts, h("div", { class: "acts" }, ...acts));
  return { element, state, facts, ends };
}

function draw(worker) {
  const { element, state, facts, ends } = cards.get(worker.id);
  const exited = worker.state === "exited";
  state.className = `state ${worker.state}`;
  setText(state, exited ? `exited ${worker.exit_code}` : worker.state);
  element.classList.toggle("gone", exited);
  for (const end of ends) end.disabled = exited;
  setText(facts, exited ? `pid ${worker.pid}` : `${jobs(worker.jobs.length)} · ${pinged(worker.last_ping)}${worker.pid ? ` · pid ${worker.pid}` : ""}`);
}

const jobs = (count) => (count === 1 ? "1 job" : `${count} jobs`);

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
