// Streamed chat completions: server-sent events are accumulated into one message.

import { CHAT, request } from "./api.js";

/** The chunks of an answer as they arrive. Throws the worker's or the network's error. */
export async function* streamChunks(body, signal) {
  const answer = await fetch(CHAT, { ...request("POST", body), signal });
  if (!answer.ok) throw problem(await answer.text());
  for await (const line of lines(answer.body)) {
    if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
    const chunk = JSON.parse(line.slice("data: ".length));
    if (chunk.error) throw new Error(chunk.error.message);
    yield chunk;
  }
}

async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const whole = (rest + part.value).split("\n");
    rest = whole.pop();
    yield* whole;
  }
}

function problem(text) {
  try {
    const { error } = JSON.parse(text);
    return new Error(error.message ?? error);
  } catch {
    return new Error(text); // not JSON
  }
}

/** Adds a chunk's delta to a message. */
export function applyChunk(message, chunk) {
  const choice = chunk.choices?.[0];
  if (chunk.usage) message.usage = chunk.usage;
  if (!choice) return;
  message.finish = choice.finish_reason ?? message.finish;
  const { reasoning = "", content, tool_calls: calls = [] } = choice.delta;
  message.reasoning += reasoning ?? "";
  message.content += content ?? "";
  for (const { index, id, function: part } of calls) {
    const call = (message.calls[index] ??= { id, name: "", arguments: "" });
    call.name += part.name ?? "";
    call.arguments += part.arguments ?? "";
  }
}

export const emptyMessage = () => ({ reasoning: "", content: "", calls: [], finish: null, usage: null });

/** The message as part of the next request's history. */
export function asHistory({ content, reasoning, calls }) {
  const message = { role: "assistant", content: content || null };
  if (reasoning) message.reasoning = reasoning;
  if (calls.length) {
    message.tool_calls = calls.map(({ id, name, arguments: given }) => ({
      id, type: "function", function: { name, arguments: given },
    }));
  }
  return message;
}
