/* OpenAI's JavaScript client, with the Responses API. */

import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { BOTH, City, COMPARE, DESCRIBE, getWeather, MODEL, outcome, PLAIN, report } from "./scenarios.mjs";

const client = ({ url, key, retries = 0 } = PLAIN) =>
  new OpenAI({ baseURL: url, apiKey: key, maxRetries: retries });

const COMMON = { model: MODEL, instructions: "Be brief." };
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
};
const tools = [{ type: "function", name: "get_weather", parameters, strict: false }];

async function ask({ url, key, retries, model, text, top_p = 1 }) {
  const request = { ...COMMON, model, input: text, top_p };
  return (await client({ url, key, retries }).responses.create(request)).output_text;
}

/* The deltas of one kind in a stream of the client's helper. */
async function deltas(asked, type) {
  const got = [];
  for await (const event of client(asked).responses.stream({ ...COMMON, input: asked.text })) {
    if (event.type === type) got.push(event.delta);
  }
  return got;
}

const results = ({ output }) =>
  output
    .filter(({ type }) => type === "function_call")
    .map(({ call_id, arguments: given }) => ({
      type: "function_call_output",
      call_id,
      output: getWeather(JSON.parse(given)),
    }));

/* A tool loop that sends all items back. */
async function loop(question) {
  const input = [{ role: "user", content: question }];
  for (let turns = 1; ; turns++) {
    const stream = client().responses.stream({ ...COMMON, input, tools, store: false });
    const turn = await stream.finalResponse();
    const ran = results(turn);
    if (!ran.length) return outcome(turns, turn.output_text);
    input.push(...turn.output, ...ran);
  }
}

/* Each request sends the tool's results alone, and the ID of the response before. */
async function storedLoop() {
  let turn = await client().responses.create({ ...COMMON, input: COMPARE, tools });
  for (let turns = 1; ; turns++) {
    const input = results(turn);
    if (!input.length) return outcome(turns, turn.output_text);
    const previous_response_id = turn.id;
    turn = await client().responses.create({ ...COMMON, input, tools, previous_response_id });
  }
}

await report(ask, (asked) => deltas(asked, "response.output_text.delta"), {
  tool_loop: () => loop(COMPARE),
  parallel_calls: () => loop(BOTH),
  stored_tool_loop: storedLoop,
  async structured_output() {
    const text = { format: zodTextFormat(City, "City") };
    return (await client().responses.parse({ ...COMMON, input: DESCRIBE, text })).output_parsed;
  },
  async reasoning() {
    const whole = await client().responses.create({ ...COMMON, input: PLAIN.text });
    const streamed = await deltas(PLAIN, "response.reasoning_text.delta");
    return { whole: whole.output[0].content[0].text, streamed: streamed.join("") };
  },
});
