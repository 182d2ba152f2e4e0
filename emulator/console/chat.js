// The chat: a conversation with the endpoint through its OpenAI-compatible URL, by any of its APIs.
// It is kept in the tab's session storage, so that a reload of the page shows it again.

import { Answer } from "./answer.js";
import { byId, h, pretty } from "./dom.js";
import * as chatCompletions from "./dialects/chat.js";
import * as messagesApi from "./dialects/messages.js";
import * as responses from "./dialects/responses.js";
import { streamEvents, urlOf } from "./events.js";
import { callsOf, emptyMessage } from "./message.js";
import { setModel, remember } from "./snippets.js";
import { outlook } from "./workers.js";

const DIALECTS = [chatCompletions, responses, messagesApi];
const SUGGESTIONS = ["Weather in Paris?", "What is 2+2?", "Count to one hundred"];
const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the current weather of a place",
    parameters: { type: "object", properties: { location: { type: "string" } }, required: ["location"] },
  },
};

let dialect = chatCompletions;
let turns = [];
let running = null;
let waiting = null;

export function start() {
  byId("tools").value = pretty([WEATHER]);
  byId("tools").oninput = () => tools();
  byId("suggestions").append(...SUGGESTIONS.map((text) => h("button", { type: "button", onclick: () => send(text) }, text)));
  byId("apis").append(...DIALECTS.map((each) => h("button", { type: "button", title: `POST ${each.route}`, onclick: () => choose(each) }, each.label)));
  choose(DIALECTS.find(({ label }) => label === sessionStorage.api) ?? dialect);
  restore();
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
    turns = [];
    keep();
    byId("conversation").replaceChildren();
    byId("question").focus();
  };
}

/** The workers have changed: an answer that has not begun says what it waits for. */
export function update() {
  waiting?.wait(outlook());
}

/** Keeps the conversation for a reload. */
function keep() {
  try {
    sessionStorage.conversation = JSON.stringify(turns);
  } catch {
    delete sessionStorage.conversation; // longer than the browser's limit, 5 MB: it is not kept
  }
}

/** Shows the conversation that was kept. An answer that the reload cut off can be asked for again. */
function restore() {
  turns = JSON.parse(sessionStorage.conversation ?? "[]");
  turns.forEach(({ question, message, api }, index) => {
    if (question !== undefined) showQuestion(question);
    if (message) {
      const view = new Answer(api);
      show(view.element);
      view.show(message);
      view.finish(message, (results) => giveResults(callsOf(message), results), turns[index + 1]?.results);
    }
  });
  if (turns.length && !turns.at(-1).message) {
    const view = new Answer(dialect.label);
    show(view.element);
    view.fail("The page was reloaded before this answer was complete.", answer);
  }
}

/** The API of the next requests. The conversation goes on: it belongs to none of them. */
function choose(chosen) {
  dialect = chosen;
  sessionStorage.api = chosen.label;
  [...byId("apis").children].forEach((each, index) => each.setAttribute("aria-pressed", String(DIALECTS[index] === chosen)));
}

/** The question in the composer as a job's input. */
export function jobInput(question) {
  return { openai_route: dialect.route, openai_input: body([{ question: question || SUGGESTIONS[2] }]) };
}

function send(text) {
  if (!text || running || tools() === null) return;
  byId("question").value = "";
  turns.push({ question: text });
  showQuestion(text);
  answer();
}

function showQuestion(text) {
  show(h("p", { class: "question", tabIndex: 0 }, text));
}

/** One turn of the model, given the conversation so far. */
async function answer() {
  const [view, message, history, control, api] = [new Answer(dialect.label), emptyMessage(), turns, new AbortController(), dialect];
  keep();
  busy(control);
  waiting = view;
  update();
  show(view.element);
  const sent = body(history);
  remember("POST", urlOf(api.route), sent);
  try {
    for await (const event of streamEvents(api.route, sent, control.signal)) {
      waiting = null;
      setModel(api.modelOf(event));
      api.apply(message, event);
      view.show(message);
      follow();
    }
    view.finish(message, (results) => giveResults(callsOf(message), results));
    history.push({ message, api: api.label });
    keep();
  } catch (error) {
    view.fail(control.signal.aborted ? "Stopped: the job is cancelled." : error.message, answer);
  }
  if (running === control) busy(null);
  follow();
}

function giveResults(calls, results) {
  turns.push({ results: calls.map((call, index) => ({ call, text: results[index] })) });
  answer();
}

function body(history) {
  return dialect.body(history, {
    instructions: byId("instructions").value.trim(),
    tools: tools() ?? [],
    choice: byId("tool-choice").value,
    effort: byId("effort").value,
    temperature: byId("temperature").valueAsNumber || 0,
    maxTokens: byId("max-tokens").valueAsNumber || 1024,
  });
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
  if (!control) waiting = null;
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
