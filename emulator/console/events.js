// Streamed answers: the objects of a reply's server-sent events.

import { ENDPOINT, request } from "./api.js";

/** Where the endpoint's OpenAI-compatible URL has a route such as `/v1/responses`. */
export const urlOf = (route) => `${ENDPOINT}/openai${route}`;

/** The events of an answer as they arrive. Throws the worker's or the network's error. */
export async function* streamEvents(route, body, signal) {
  const answer = await fetch(urlOf(route), { ...request("POST", body), signal });
  if (!answer.ok) throw problem(await answer.text());
  for await (const line of lines(answer.body)) {
    if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
    const event = JSON.parse(line.slice("data: ".length));
    if (event.error) throw new Error(event.error.message);
    yield event;
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
