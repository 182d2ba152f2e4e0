// Anthropic's Messages: reasoning is thinking, and its capsule is the signature.

import { partAt } from "../message.js";

export const label = "Messages";
export const route = "/v1/messages";

const CHOICES = { auto: "auto", required: "any", none: "none" };
const KINDS = { thinking: "reasoning", text: "text", tool_use: "call" };

export function body(turns, { instructions, tools, choice, effort, temperature, maxTokens }) {
  return {
    ...(instructions && { system: instructions }),
    messages: turns.map(message),
    ...(tools.length && { tools: tools.map(tool), tool_choice: { type: CHOICES[choice] } }),
    thinking: { type: "adaptive" },
    output_config: { effort },
    temperature,
    max_tokens: maxTokens,
    stream: true,
  };
}

/** A tool in chat's form as this API has it; any other is sent as it was written. */
function tool(given) {
  if (!given.function) return given;
  const { name, description, parameters } = given.function;
  return { name, ...(description && { description }), input_schema: parameters ?? { type: "object" } };
}

function message({ question, message: said, results }) {
  if (question !== undefined) return { role: "user", content: question };
  if (said) return { role: "assistant", content: said.parts.map(block) };
  const given = results.map(({ call, text }) => ({ type: "tool_result", tool_use_id: call.id, content: text }));
  return { role: "user", content: given };
}

function block({ kind, text, capsule, id, name }) {
  if (kind === "call") return { type: "tool_use", id, name, input: parsed(text) };
  return kind === "text" ? { type: "text", text } : { type: "thinking", thinking: text, signature: capsule ?? "" };
}

function parsed(text) {
  try {
    return JSON.parse(text || "{}");
  } catch {
    return text; // the model's arguments are not JSON: they go back as they were
  }
}

/** Adds an event to a message. */
export function apply(message, { type, index, content_block: begun, delta, usage }) {
  if (type === "content_block_start") partAt(message, index, { kind: KINDS[begun.type], id: begun.id, name: begun.name });
  else if (type === "content_block_delta") {
    const part = partAt(message, index);
    part.text += delta.text ?? delta.thinking ?? delta.partial_json ?? "";
    part.capsule = delta.signature ?? part.capsule;
  } else if (type === "message_delta") {
    const cached = usage.cache_read_input_tokens;
    message.tokens = { prompt: usage.input_tokens + cached, cached, completion: usage.output_tokens };
    message.finish = delta.stop_reason;
  }
}

export const modelOf = (event) => event.message?.model;
