/* OpenAI's JavaScript client. */

import OpenAI from "openai";
import { zodResponseFormat, zodFunction } from "openai/helpers/zod";
import { BOTH, City, COMPARE, DESCRIBE, getWeather, MODEL, outcome, PLAIN, report } from "./scenarios.mjs";

const client = ({ url, key, retries = 0 } = PLAIN) =>
  new OpenAI({ baseURL: url, apiKey: key, maxRetries: retries });

const prompt = (text) => ({
  model: MODEL,
  messages: [{ role: "developer", content: "Be brief." }, { role: "user", content: text }],
});

async function ask(asked) {
  const request = { ...prompt(asked.text), model: asked.model, top_p: asked.top_p ?? 1 };
  const answer = await client(asked).chat.completions.create(request);
  return answer.choices[0].message.content;
}

async function pieces(asked) {
  const request = { ...prompt(asked.text), stream: true, stream_options: { include_usage: true } };
  const got = [];
  for await (const chunk of await client(asked).chat.completions.create(request)) {
    if (chunk.choices[0]?.delta.content) got.push(chunk.choices[0].delta.content);
  }
  return got;
}

async function loop(question) {
  const parameters = { type: "object", properties: { city: { type: "string" } } };
  const tool = { function: getWeather, parse: JSON.parse, name: "get_weather", parameters };
  const runner = client().chat.completions.runTools({
    ...prompt(question),
    tools: [{ type: "function", function: tool }],
  });
  const answer = await runner.finalContent();
  return outcome(runner.allChatCompletions().length, answer);
}

await report(ask, pieces, {
  tool_loop: () => loop(COMPARE),
  parallel_calls: () => loop(BOTH),
  async structured_output() {
    const request = { ...prompt(DESCRIBE), response_format: zodResponseFormat(City, "City") };
    return (await client().chat.completions.parse(request)).choices[0].message.parsed;
  },
  async structured_by_call() {
    const answer = await client().chat.completions.parse({
      ...prompt("Describe Paris by a call."),
      tools: [zodFunction({ name: "City", parameters: City })],
      tool_choice: { type: "function", function: { name: "City" } },
    });
    return answer.choices[0].message.tool_calls[0].function.parsed_arguments;
  },
  async reasoning() {
    const whole = await client().chat.completions.create(prompt(PLAIN.text));
    let streamed = "";
    const request = { ...prompt(PLAIN.text), stream: true };
    for await (const chunk of await client().chat.completions.create(request)) {
      streamed += chunk.choices[0].delta.reasoning ?? "";
    }
    return { whole: whole.choices[0].message.reasoning, streamed };
  },
});
