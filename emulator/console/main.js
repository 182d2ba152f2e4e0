// The page: starts its parts and passes updates to them.
//
// All that is shown of jobs, workers and faults comes from `/events`: the page predicts nothing.

import { ENDPOINT } from "./api.js";
import * as chat from "./chat.js";
import { byId, h, setText } from "./dom.js";
import * as faults from "./faults.js";
import * as job from "./job.js";
import * as jobs from "./jobs.js";
import * as snippets from "./snippets.js";
import * as workers from "./workers.js";

const COUNTS = { inQueue: "in queue", inProgress: "in progress", completed: "completed", failed: "failed", retried: "retried" };

function startTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => localStorage.theme ?? (dark.matches ? "dark" : "light");
  const show = () => {
    if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;
    byId("theme").textContent = now() === "dark" ? "Light" : "Dark";
    byId("theme").setAttribute("aria-label", `Use ${now() === "dark" ? "light" : "dark"} colours`);
  };
  byId("theme").onclick = () => {
    localStorage.theme = now() === "dark" ? "light" : "dark";
    show();
  };
  dark.onchange = show;
  show();
}

function showHealth(counts) {
  if (!byId("health").children.length) {
    byId("health").append(...Object.entries(COUNTS).map(([name, label]) => h("div", { class: name }, h("dt", {}, label), h("dd"))));
  }
  Object.keys(COUNTS).forEach((name, index) => setText(byId("health").children[index].lastChild, String(counts[name])));
}

function listen() {
  const source = new EventSource("/events");
  const live = (text) => {
    byId("live").textContent = text;
    byId("live").className = text;
  };
  let fresh = true; // after a reconnect, all jobs are sent again, except forgotten ones
  source.onopen = () => ((fresh = true), live("live"));
  source.onerror = () => live("offline");
  source.addEventListener("jobs", ({ data }) => {
    if (fresh) jobs.replace([]);
    fresh = false;
    jobs.update(JSON.parse(data));
  });
  source.addEventListener("state", ({ data }) => {
    const state = JSON.parse(data);
    showHealth(state.health.jobs);
    workers.update(state.workers);
    chat.update();
    faults.update(state.faults);
  });
}

startTheme();
byId("endpoint-url").textContent = location.origin + ENDPOINT;
for (const part of [snippets, chat, jobs, job, workers, faults]) part.start();
listen();
