// The chat: a conversation with the endpoint through its OpenAI-compatible URL.

import { CHAT } from "./api.js";
import { Answer } from "./answer.js";
import { byId, h, pretty } from "./dom.js";
import { setModel, remember } from "./snippets.js";
import { asHistory, streamChunks, emptyMessage, applyChunk } from "./stream.js";

const SUGGESTIONS = ["Weather in Paris?", "What is 2+2?", "Count to one hundred"];
const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the current weather of a place",
    parameters: { type: "object", properties: { location: { type: "string" } }, required: ["location"] },
  },
};

let messages = [];
let running = null;

export function start() {
  byId("tools").value = pretty([WEATHER]);
  byId("tools").oninput = () => tools();
  byId("suggestions").append(...SUGGESTIONS.map((text) => h("button", { type: "button", onclick: () => send(text) }, text)));
  byId("ask").onsubmit = (event) => {
    event.preventDefault();
    if (running) running.abort();
    else send(byId("question").value.trim());
  };
  byId("question").onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!running) byId("ask").requestSubmit();
  };
  byId("new-chat").onclick = () => {
    running?.abort();
    messages = [];
    byId("conversation").replaceChildren();
    byId("question").focus();
  };
}

/** The question in the composer as a request body, to be sent another way. */
export function request(question) {
  return body([{ role: "user", content: question || SUGGESTIONS[2] }]);
}

function send(text) {
  if (!text || running || tools() === null) return;
  byId("question").value = "";
  messages.push({ role: "user", content: text });
  show(h("p", { class: "question" }, text));
  answer();
}

/** One turn of the model, given the conversation so far. */
async function answer() {
  const [view, message, history, control] = [new Answer(), emptyMessage(), messages, new AbortController()];
  busy(control);
  show(view.element);
  const sent = body(history);
  remember("POST", CHAT, sent);
  try {
    for await (const chunk of streamChunks(sent, control.signal)) {
      setModel(chunk.model);
      applyChunk(message, chunk);
      view.show(message);
      follow();
    }
    history.push(asHistory(message));
    view.finish(message, (results) => giveResults(message.calls, results));
  } catch (error) {
    view.fail(control.signal.aborted ? "Stopped: the job is cancelled." : error.message, answer);
  }
  if (running === control) busy(null);
  follow();
}

function giveResults(calls, results) {
  calls.forEach(({ id }, index) => messages.push({ role: "tool", tool_call_id: id, content: results[index] }));
  answer();
}

function body(history) {
  const instructions = byId("instructions").value.trim();
  const offered = tools() ?? [];
  return {
    messages: instructions ? [{ role: "developer", content: instructions }, ...history] : [...history],
    ...(offered.length && { tools: offered, tool_choice: byId("tool-choice").value }),
    reasoning_effort: byId("effort").value,
    temperature: byId("temperature").valueAsNumber || 0,
    max_completion_tokens: byId("max-tokens").valueAsNumber || 1024,
    stream: true,
    stream_options: { include_usage: true },
  };
}

/** The tools in their field; null, with an error on the page, if they are not a JSON list. */
function tools() {
  const field = byId("tools");
  try {
    const list = JSON.parse(field.value || "[]");
    if (!Array.isArray(list)) throw new Error("Tools must be a list: [ … ]");
    field.removeAttribute("aria-invalid");
    byId("tools-error").textContent = "";
    return list;
  } catch (error) {
    field.setAttribute("aria-invalid", "true");
    field.closest("details").open = true;
    byId("tools-error").textContent = error.message;
    return null;
  }
}

function busy(control) {
  running = control;
  byId("send").textContent = control ? "Stop" : "Send";
  byId("send").classList.toggle("stop", control !== null);
}

function show(element) {
  byId("conversation").append(element);
  byId("conversation").scrollTop = byId("conversation").scrollHeight;
}

/** Scrolls to the end of the conversation, unless the user has scrolled up. */
function follow() {
  const log = byId("conversation");
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 160) log.scrollTop = log.scrollHeight;
}
