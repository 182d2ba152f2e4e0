"""The dialogue that servers with forced output hold with unmodified clients.

Rule: the output depends only on the prompt's last message, a question or a tool's result, so that a
client that runs a tool and sends its result back gets the next turn of the dialogue.
"""

import json
from collections.abc import Sequence

from worker.errors import BadRequest
from worker.harmony.vocabulary import MESSAGE, START, encoding

NEXT = "<|start|>assistant"


def thought(text: str) -> str:
    return f"<|channel|>analysis<|message|>{text}<|end|>{NEXT}"


def call(name: str, arguments: str, end: str = "<|call|>") -> str:
    header = f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
    return f"{header}{arguments}{end}"


def answer(text: str) -> str:
    return f"<|channel|>final<|message|>{text}<|return|>"


PARIS, OSLO = '{"city":"Paris"}', '{"city":"Oslo"}'
CITY = '{"name":"Paris","degrees":21}'
GRAPH = (
    '{"triplets":[{"subject":{"type":"PERSON","name":"Marie Curie"},'
    '"relation":{"type":"DISCOVERED"},"object":{"type":"ELEMENT","name":"Radium"}}]}'
)

AGENT = '{"target":"01a21d98-d23b-7dc0-9d54-b23c93867cd2"}'
PATCH = "*** Begin Patch\n*** Add File: patched.txt\n+a line\n*** End Patch\n"
COUNT = "echo $((40+2)) files > counted.txt; cat counted.txt"

EXEC_COUNT = json.dumps({"cmd": COUNT})
BASH_COUNT = json.dumps({"command": COUNT, "description": "Counts"})

DIALOGUE = {
    # a tool loop with three turns
    "Which city is warmer?": thought("Paris first.") + call("get_weather", PARIS),
    "Paris: 21 degrees": thought("Now Oslo.") + call("get_weather", OSLO),
    "Oslo: 9 degrees": thought("21 is more than 9.") + answer("Paris is warmer."),
    # two calls in one turn; the result of the last one leads to the entry above
    "Ask for both at once.": thought("Both.")
    + call("get_weather", PARIS, "<|end|>")
    + NEXT
    + call("get_weather", OSLO),
    # an object, as the answer or as a call
    "Describe Paris.": thought("As JSON.") + answer(CITY),
    "Describe Paris by a call.": thought("As a call.") + call("City", CITY),
    # a graph extracted from a text, and a query on it
    "Marie Curie discovered radium in 1898.": thought("One triplet.") + call("KGSchema", GRAPH),
    "QUERY: Who discovered radium?": answer("Radium^Marie Curie"),
    "Query: Who discovered radium?": answer("Marie Curie did."),
    # what command-line agents do: run a command, call a tool of a namespace or of an MCP server,
    # change a file, compact their history, run two commands, search for a tool, err
    "Count with exec_command.": thought("I count.") + call("exec_command", EXEC_COUNT),
    "Count with Bash.": thought("I count.") + call("Bash", BASH_COUNT),
    "Count with bash.": thought("I count.") + call("bash", BASH_COUNT),
    "Close the agent.": thought("It is done.") + call("multi_agent_v1__close_agent", AGENT),
    "agent with id": answer("That agent is gone."),
    "Add 40 and 2.": thought("By the tool.") + call("mcp__demo__add", '{"a":40,"b":2}'),
    "The sum is 42.": answer("It is 42."),
    "Patch the file.": thought("A line more.") + call("apply_patch", json.dumps({"input": PATCH})),
    "Success. Updated": answer("It is patched."),
    "CONTEXT CHECKPOINT COMPACTION": answer("We count files."),
    "summary produced by the other": answer("There are 42 files."),
    "Count twice.": thought("Both.")
    + call("Bash", BASH_COUNT, "<|end|>")
    + NEXT
    + call("Bash", BASH_COUNT),
    "Which jobs are scheduled?": thought("I search.")
    + call("ToolSearch", '{"query":"select:CronList"}'),
    "Tool loaded.": thought("It is there.") + call("CronList", "{}"),
    "No scheduled jobs": thought("None.") + answer("None are scheduled."),
    "Send no JSON.": thought("As it comes.") + call("Bash", "echo 42"),
    "could not be parsed as JSON": thought("As JSON, then.") + call("Bash", BASH_COUNT),
    "42 files": thought("It said 42.") + answer("There are 42 files."),
    "Say hello.": thought("They greet me.") + answer("Hello! How can I help you today?"),
}
"""A part of the prompt's last message → the model's output. The first match counts."""


def output_to(prompt_ids: Sequence[int]) -> str:
    """The model's output to a prompt, as Harmony text. Raises BadRequest if it has none."""
    message = last_message(prompt_ids)
    for part, output in DIALOGUE.items():
        if part in message:
            return output
    raise BadRequest(f"The dialogue has no answer to {message[-300:]!r}.")


def last_message(prompt_ids: Sequence[int]) -> str:
    """The text of the last message that a user or a tool wrote, and of what follows it.

    Coding agents put instructions of their own behind it.
    """
    starts = [at for at, token in enumerate(prompt_ids) if token == START]
    for at in reversed(starts[:-1]):  # the last one is the assistant's turn
        body = prompt_ids.index(MESSAGE, at)
        if not encoding().decode(prompt_ids[at + 1 : body]).startswith(("developer", "system")):
            return encoding().decode(prompt_ids[body + 1 :])
    return ""
