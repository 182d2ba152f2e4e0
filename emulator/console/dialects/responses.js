// OpenAI's Responses, without a store: reasoning goes back as text and as its capsule.

import { partAt } from "../message.js";

export const label = "Responses";
export const route = "/v1/responses";

export function body(turns, { instructions, tools, choice, effort, temperature, maxTokens }) {
  return {
    input: turns.flatMap(items),
    ...(instructions && { instructions }),
    ...(tools.length && { tools: tools.map(tool), tool_choice: choice }),
    reasoning: { effort },
    include: ["reasoning.encrypted_content"],
    temperature,
    max_output_tokens: maxTokens,
    store: false,
    stream: true,
  };
}

/** A tool in chat's form as this API has it; any other is sent as it was written. */
function tool(given) {
  return given.function ? { type: "function", strict: false, ...given.function } : given;
}

function items({ question, message, results }) {
  if (question !== undefined) return [{ role: "user", content: question }];
  if (results) return results.map(({ call, text }) => ({ type: `${call.type ?? "function_call"}_output`, call_id: call.id, output: text }));
  return message.parts.map(item);
}

function item({ kind, text, capsule, id, name, namespace, type = "function_call" }) {
  if (kind === "call") return { type, call_id: id, name, ...(namespace && { namespace }), [type === "custom_tool_call" ? "input" : "arguments"]: text };
  if (kind === "text") return { role: "assistant", content: text };
  return { type: "reasoning", summary: [], content: [{ type: "reasoning_text", text }], ...(capsule && { encrypted_content: capsule }) };
}

/** Adds an event to a message. */
export function apply(message, event) {
  if (event.type === "response.output_item.added") partAt(message, event.output_index, partOf(event.item));
  else if (event.type.endsWith(".delta")) partAt(message, event.output_index).text += event.delta;
  else if (event.type === "response.output_item.done") partAt(message, event.output_index).capsule = event.item.encrypted_content;
  else if (event.response?.usage) end(message, event.response);
}

function partOf({ type, call_id: id, name, namespace }) {
  if (type === "reasoning") return { kind: "reasoning" };
  return type === "message" ? { kind: "text" } : { kind: "call", type, id, name, namespace };
}

function end(message, { usage, status, incomplete_details: cut }) {
  const cached = usage.input_tokens_details.cached_tokens;
  message.tokens = { prompt: usage.input_tokens, cached, completion: usage.output_tokens };
  message.finish = cut?.reason ?? status;
}

export const modelOf = (event) => event.response?.model;
