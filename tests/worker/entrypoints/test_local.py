"""The local run and handler.py: what a developer sees, by real processes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.scripted_engine import ScriptedEngine, tokens
from worker.entrypoints import local
from worker.errors import ServerError
from worker.model import Model
from worker.service import Service
from worker.settings import Settings

HELLO = [{"role": "user", "content": "Hello"}]
ANSWER = tokens("<|channel|>final<|message|>Hi there<|return|>")


def service(engine: ScriptedEngine | None = None) -> Service:
    model = Model(path="x", names=("demo",), context_length=4096, on_cpu=True)
    return Service(engine or ScriptedEngine(ANSWER), model, Settings())


def lines(captured: pytest.CaptureFixture[str]) -> list[Any]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


def job(**fields: Any) -> str:
    return json.dumps({"id": "mine", "input": {"messages": HELLO, **fields}})


def test_a_streamed_job_prints_each_chunk_and_then_the_result(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One JSON line each; the result has all of them again."""
    assert local.run(service(), Settings(), job(stream=True))
    *chunks, result = lines(capsys)
    assert [c["choices"][0]["delta"].get("content") for c in chunks] == ["Hi", " there", None]
    assert result["id"] == "mine"
    assert result["status"] == "COMPLETED"
    assert result["output"] == chunks
    assert result["metrics"]["completion_tokens"] == len(ANSWER)


def test_a_streamed_text_completion_prints_its_chunks(capsys: pytest.CaptureFixture[str]) -> None:
    """As a chat does."""
    test_input = json.dumps({"input": {"prompt": "Once", "stream": True}})
    assert local.run(service(ScriptedEngine(tokens(" one two"))), Settings(), test_input)
    *chunks, result = lines(capsys)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == " one two"
    assert result["output"] == chunks


THOUGHT = "<|channel|>analysis<|message|>Greet them.<|end|><|start|>assistant"
CALL = '<|channel|>commentary to=functions.look <|constrain|>json<|message|>{"a": 1}<|call|>'
LOOK = {"type": "object", "properties": {"a": {"type": "integer"}}}
CHAT_TOOL = {"type": "function", "function": {"name": "look", "parameters": LOOK}}
RESPONSES_TOOL = {"type": "function", "name": "look", "parameters": LOOK, "strict": False}
MESSAGES = {
    "messages": HELLO,
    "max_tokens": 100,
    "system": "Be kind.",
    "thinking": {"type": "enabled"},
}
REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "chat": ({"messages": HELLO}, CHAT_TOOL),
    "responses": ({"input": "Hello"}, RESPONSES_TOOL),
    "messages": (MESSAGES, {"name": "look", "input_schema": LOOK}),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("api", REQUESTS)
@pytest.mark.parametrize("routed", [True, False])
def test_a_person_sees_the_reasoning_the_text_and_the_calls(
    capsys: pytest.CaptureFixture[str], api: str, stream: bool, routed: bool
) -> None:
    """On a terminal, in any API, streamed or not, and in any form of the input: the reasoning dim,
    the call bold, and one line of figures."""
    request, tool = REQUESTS[api]
    body = {**request, "tools": [tool], "stream": stream}
    route = {"chat": "/v1/chat/completions"}.get(api, f"/v1/{api}")
    form = {"openai_route": route, "openai_input": body} if routed else body
    answers = {
        "Hi there": "<|channel|>final<|message|>Hi there<|return|>",
        '\x1b[1mlook {"a": 1}\x1b[0m': CALL,
    }
    for shown, generated in answers.items():
        ids = tokens(f"{THOUGHT}{generated}")
        asked = json.dumps({"input": form})
        assert local.run(service(ScriptedEngine(ids)), Settings(), asked, as_text=True)
        printed = re.sub("\x1b\\[0m(\x1b\\[[12]m)", "", capsys.readouterr().out)
        *answer, figures = printed.splitlines()
        assert answer == ["\x1b[2mGreet them.\x1b[0m", shown]
        assert f"{len(ids)} out" in figures


def test_two_calls_are_on_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """As are two blocks of text of different kinds."""
    two = tokens(f"{CALL.replace('<|call|>', '<|end|>')}<|start|>assistant{CALL}")
    asked = job(stream=True, tools=[CHAT_TOOL])
    assert local.run(service(ScriptedEngine(two)), Settings(), asked, as_text=True)
    shown = re.sub("\x1b\\[\\dm", "", capsys.readouterr().out)
    assert shown.splitlines()[:-1] == ['look {"a": 1}'] * 2


def test_what_is_no_answer_is_json_for_a_person_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as the list of models."""
    form = {"input": {"openai_route": "/v1/models"}}
    assert local.run(service(), Settings(), json.dumps(form), as_text=True)
    shown = re.sub("\x1b\\[\\dm.*\n", "", capsys.readouterr().out)
    assert json.loads(shown)["data"][0]["id"] == "demo"


def test_a_job_of_the_openai_url_prints_its_events(capsys: pytest.CaptureFixture[str]) -> None:
    """As the strings that RunPod would get."""
    body = {"messages": HELLO, "stream": True}
    form = {"openai_route": "/v1/chat/completions", "openai_input": body}
    assert local.run(service(), Settings(), json.dumps({"input": form}))
    *events, result = lines(capsys)
    assert events[-1].endswith("\n\ndata: [DONE]\n\n")
    assert result["output"] == events


def test_a_whole_answer_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """In the result, as a list with that one object."""
    assert local.run(service(), Settings(), job())
    (result,) = lines(capsys)
    (completion,) = result["output"]
    assert completion["choices"][0]["message"]["content"] == "Hi there"


@pytest.mark.parametrize(
    ("test_input", "message"),
    [
        ("{", "--test_input could not be read as JSON (JSONDecodeError)."),
        ("[]", "The job must be a JSON object with an 'input' member."),
        ('{"id": 1}', "The job must be a JSON object with an 'input' member."),
        ('{"input": 5}', "input must be a JSON object, not a number."),
        (job(model="gpt-5"), "The model 'gpt-5' does not exist. Available models: demo."),
        ("[" * 100_000, "--test_input could not be read as JSON (RecursionError)."),
    ],
)
def test_a_bad_job_fails_before_the_engine_boots(
    capsys: pytest.CaptureFixture[str], test_input: str, message: str
) -> None:
    """With the error object that the platform would get."""
    engine = ScriptedEngine(ANSWER)
    assert not local.run(service(engine), Settings(), test_input)
    (result,) = lines(capsys)
    assert result["status"] == "FAILED"
    assert json.loads(result["error"])["message"] == message
    assert engine.prompts == []


def test_without_an_argument_the_file_is_answered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """./test_input.json, and an error if there is none."""
    monkeypatch.chdir(tmp_path)
    assert not local.run(service(), Settings(), None)
    Path("test_input.json").write_text(job())
    assert local.run(service(), Settings(), None)
    failed, completed = lines(capsys)
    assert "test_input.json could not be read" in failed["error"]
    assert completed["status"] == "COMPLETED"


def test_an_error_of_the_engine_fails_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    """Whether it boots or answers badly."""

    class Unbootable(ScriptedEngine):
        async def start(self) -> None:
            raise ServerError("The engine failed to start; see the worker's log.")

    class Failing(ScriptedEngine):
        def generate(self, *_arguments: Any, **_named: Any) -> Any:
            raise ServerError("The engine failed this request.")

    assert not local.run(service(Unbootable(ANSWER)), Settings(), job())
    assert not local.run(service(Failing(ANSWER)), Settings(), job())
    first, second = lines(capsys)
    assert "failed to start" in first["error"]
    assert "failed this request" in second["error"]


def run_handler(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "handler.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_handler_fails_a_bad_job_with_status_1() -> None:
    """A clean error, no traceback."""
    done = run_handler("--test_input", '{"input": {"messages": "no"}}', MODEL="demo")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert json.loads(result["error"])["param"] == "messages"
    assert "Traceback" not in done.stderr


def test_handler_refuses_a_bad_setting_in_one_line() -> None:
    """Before anything is loaded."""
    done = run_handler(PORT="many", MODEL="demo")
    assert done.returncode == 2
    assert done.stderr == "PORT must be a port number from 1 to 65535, got 'many'\n"
