/* Vercel's AI SDK, with the provider that its argument names. */

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenResponses } from "@ai-sdk/open-responses";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";
import { API, BOTH, City, COMPARE, DESCRIBE, getWeather, outcome, PLAIN, report } from "./scenarios.mjs";

const openai = ({ url, key, model }) => createOpenAI({ baseURL: url, apiKey: key })(model);
const MODELS = {
  "open-responses": ({ url, key, model }) =>
    createOpenResponses({ name: "worker", url: `${url}/responses`, apiKey: key })(model),
  openai,
  "openai-stateless": openai,
  anthropic: ({ url, key, model }) => createAnthropic({ baseURL: url, apiKey: key })(model),
};

const request = (asked) => ({
  model: MODELS[API](asked),
  system: "Be brief.",
  prompt: asked.text,
  maxRetries: asked.retries ?? 0,
  topP: asked.top_p,
  providerOptions: {
    openai: API === "openai-stateless" ? { store: false } : {},
    anthropic: { structuredOutputMode: "outputFormat" }, // else a forced call, for unknown models
  },
});

async function ask(asked) {
  return (await generateText(request(asked))).text;
}

/* The parts of one kind in a stream; an error in it is thrown, which the SDK leaves to its user. */
async function parts(asked, type) {
  const got = [];
  for await (const part of streamText({ ...request(asked), onError() {} }).stream) {
    if (part.type === "error") throw part.error;
    if (part.type === type) got.push(part.text);
  }
  return got;
}

async function loop(question, generate) {
  const inputSchema = z.object({ city: z.string() });
  const get_weather = tool({ inputSchema, execute: async (input) => getWeather(input) });
  const asked = { ...request({ ...PLAIN, text: question }), tools: { get_weather } };
  const result = generate({ ...asked, stopWhen: isStepCount(5) });
  const { steps, text } = result.consumeStream ? result : await result;
  return outcome((await steps).length, await text);
}

await report(ask, (asked) => parts(asked, "text-delta"), {
  tool_loop: () => loop(COMPARE, generateText),
  streamed_tool_loop: () => loop(COMPARE, streamText),
  parallel_calls: () => loop(BOTH, generateText),
  async structured_output() {
    const asked = request({ ...PLAIN, text: DESCRIBE });
    return (await generateText({ ...asked, output: Output.object({ schema: City }) })).output;
  },
  async reasoning() {
    const { reasoningText } = await generateText(request(PLAIN));
    return { whole: reasoningText, streamed: (await parts(PLAIN, "reasoning-delta")).join("") };
  },
});
