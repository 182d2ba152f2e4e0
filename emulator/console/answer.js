// One answer on the page: reasoning, text, tool calls with a form for their results, statistics.

import { duration, h, pretty, setText } from "./dom.js";

const RESULT = '{"temperature": 21, "sky": "clear"}';

export class Answer {
  constructor() {
    this.thought = h("p");
    this.reasoning = h("details", { class: "reasoning", open: true, hidden: true }, h("summary", {}, "Reasoning"), this.thought);
    this.text = h("p", { class: "text" });
    this.calls = h("div", { class: "calls" });
    this.figures = h("p", { class: "figures" });
    this.element = h("article", { class: "answer busy", "aria-label": "Answer" }, this.reasoning, this.text, this.calls, this.figures);
    this.sent = performance.now();
    this.first = null;
  }

  /** Shows the message as it is so far. */
  show(message) {
    this.first ??= performance.now();
    this.reasoning.hidden = !message.reasoning;
    setText(this.thought, message.reasoning);
    setText(this.text, message.content);
    message.calls.forEach((call, index) => this.#call(call, index));
  }

  #call({ name, arguments: given }, index) {
    const known = this.calls.children[index];
    const card = known ?? h("div", { class: "call" }, h("h3", {}), h("pre", { class: "code" }));
    if (!known) this.calls.append(card);
    setText(card.children[0], name);
    setText(card.children[1], readable(given));
  }

  /** The answer is complete. If it has tool calls, `answered` is called with their results. */
  finish(message, answered) {
    this.element.classList.remove("busy");
    setText(this.figures, this.#figures(message));
    if (message.calls.length) this.element.append(this.#results(message.calls, answered));
  }

  #figures({ usage, finish }) {
    const now = performance.now();
    const ttft = `first token after ${duration(this.first - this.sent)}`;
    if (!usage) return ttft;
    const speed = usage.completion_tokens / ((now - this.first) / 1000);
    const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    return [ttft, `${usage.completion_tokens} tokens at ${speed.toFixed(0)}/s`,
      `${cached} of ${usage.prompt_tokens} prompt tokens cached`, finish].join(" · ");
  }

  #results(calls, answered) {
    const fields = calls.map(({ name }) => h("textarea", { class: "code", rows: 2, value: RESULT, "aria-label": `Result of ${name}` }));
    const send = h("button", { type: "submit", class: "main" }, calls.length > 1 ? "Send results" : "Send result");
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
