// One answer on the page: its parts in their order, a form for the results of its calls, statistics.

import { duration, h, pretty, setText } from "./dom.js";
import { callsOf } from "./message.js";

const RESULT = '{"temperature": 21, "sky": "clear"}';

const VIEWS = {
  reasoning: () => h("details", { class: "reasoning", open: true }, h("summary", {}, "Reasoning"), h("p")),
  text: () => h("p", { class: "text" }),
  call: ({ name }) => h("div", { class: "call" }, h("h3", {}, name), h("pre", { class: "code" })),
};

export class Answer {
  constructor(api) {
    this.api = api;
    this.parts = h("div", { class: "parts" });
    this.waiting = h("p", { class: "waiting", role: "status" });
    this.figures = h("p", { class: "figures" });
    this.element = h("article", { class: "answer busy", "aria-label": "Answer" }, this.parts, this.waiting, this.figures);
    this.sent = performance.now();
    this.first = null;
  }

  /** Says what an answer without a first token is waiting for. */
  wait(text) {
    setText(this.waiting, text);
  }

  /** Shows the message as it is so far. */
  show(message) {
    this.first ??= performance.now();
    this.wait("");
    message.parts.forEach((part, index) => this.#part(part, index));
  }

  #part(part, index) {
    if (!this.parts.children[index]) this.parts.append(VIEWS[part.kind](part));
    const element = this.parts.children[index];
    setText(part.kind === "text" ? element : element.lastChild, part.kind === "call" ? readable(part.text) : part.text);
  }

  /** The answer is complete. If it has tool calls, `answered` is called with their results, unless they were `given`. */
  finish(message, answered, given) {
    const calls = callsOf(message);
    this.element.classList.remove("busy");
    message.figures ??= this.#figures(message);
    setText(this.figures, message.figures);
    if (calls.length) this.element.append(this.#results(calls, answered, given));
  }

  #figures({ tokens, finish }) {
    const now = performance.now();
    const ttft = `first token after ${duration(this.first - this.sent)}`;
    if (!tokens) return [this.api, ttft].join(" · ");
    const speed = tokens.completion / ((now - this.first) / 1000);
    return [this.api, ttft, `${tokens.completion} tokens at ${speed.toFixed(0)}/s`,
      `${tokens.cached} of ${tokens.prompt} prompt tokens cached`, finish].filter(Boolean).join(" · ");
  }

  #results(calls, answered, given) {
    const fields = calls.map(({ name }, index) => h("textarea", { class: "code", rows: 2, value: given?.[index].text ?? RESULT, readOnly: Boolean(given), "aria-label": `Result of ${name}` }));
    const send = given ? null : h("button", { type: "submit", class: "main" }, calls.length > 1 ? "Send results" : "Send result");
    const form = h("form", { class: "results" }, h("span", { class: "label" }, "Tool result"), ...fields, send);
    form.onsubmit = (event) => {
      event.preventDefault();
      send.remove();
      for (const field of fields) field.readOnly = true;
      answered(fields.map((field) => field.value));
    };
    return form;
  }

  /** The answer failed or was stopped; `again` repeats the request. */
  fail(reason, again) {
    this.wait("");
    this.element.classList.remove("busy");
    this.element.classList.add("failed");
    const retry = h("button", { type: "button", class: "quiet", onclick: () => (retry.remove(), again()) }, "Ask again");
    this.element.append(h("p", { class: "problem", role: "alert" }, reason), retry);
  }
}

function readable(text) {
  try {
    return pretty(JSON.parse(text));
  } catch {
    return text; // still being written
  }
}
