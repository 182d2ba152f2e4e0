// OpenAI's chat completions.

import { callsOf, partAt, textOf } from "../message.js";

export const label = "Chat";
export const route = "/v1/chat/completions";

export function body(turns, { instructions, tools, choice, effort, temperature, maxTokens }) {
  const first = instructions ? [{ role: "developer", content: instructions }] : [];
  return {
    messages: [...first, ...turns.flatMap(messages)],
    ...(tools.length && { tools, tool_choice: choice }),
    reasoning_effort: effort,
    temperature,
    max_completion_tokens: maxTokens,
    stream: true,
    stream_options: { include_usage: true },
  };
}

function messages({ question, message, results }) {
  if (question !== undefined) return [{ role: "user", content: question }];
  if (results) return results.map(({ call, text }) => ({ role: "tool", tool_call_id: call.id, content: text }));
  const [reasoning, calls] = [textOf(message, "reasoning"), callsOf(message)];
  const asked = calls.map(({ id, name, text }) => ({ id, type: "function", function: { name, arguments: text } }));
  const said = { role: "assistant", content: textOf(message, "text") || null };
  return [{ ...said, ...(reasoning && { reasoning }), ...(asked.length && { tool_calls: asked }) }];
}

/** Adds a chunk to a message. */
export function apply(message, { choices, usage }) {
  const choice = choices?.[0];
  if (usage) {
    const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    message.tokens = { prompt: usage.prompt_tokens, cached, completion: usage.completion_tokens };
  }
  if (!choice) return;
  message.finish = choice.finish_reason ?? message.finish;
  const { reasoning, content, tool_calls: calls = [] } = choice.delta;
  if (reasoning) partAt(message, "reasoning", { kind: "reasoning" }).text += reasoning;
  if (content) partAt(message, "text", { kind: "text" }).text += content;
  for (const { index, id, function: added } of calls) {
    const call = partAt(message, `call ${index}`, { kind: "call", id, name: "" });
    call.name += added.name ?? "";
    call.text += added.arguments ?? "";
  }
}

export const modelOf = (chunk) => chunk.model;
