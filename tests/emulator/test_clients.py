"""The emulator as clients meet it: RunPod's and OpenAI's own, with another base URL and no more."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import httpx
import openai
import pytest
import runpod
from openai.types.chat import ChatCompletionUserMessageParam

from tests.support.emulation import Emulation, emulation, eventually

LONG = {"words": ["a"] * 2000, "pause": 0.05}


@pytest.fixture(scope="module")
def plane() -> Iterator[Emulation]:
    with emulation(workers=1, POLL_SECONDS="1") as running:
        running.ready(1)
        yield running


@pytest.fixture
def endpoint(plane: Emulation, monkeypatch: pytest.MonkeyPatch) -> Iterator[runpod.Endpoint]:
    """RunPod's client of the endpoint."""
    monkeypatch.setattr(runpod, "api_key", "any")
    monkeypatch.setattr(runpod, "endpoint_url_base", f"{plane.url}/v2")
    client = runpod.Endpoint("demo")
    yield client
    client.rp_client.rp_session.close()


@pytest.fixture
def client(plane: Emulation) -> Iterator[openai.OpenAI]:
    """OpenAI's client of the endpoint's gateway."""
    url = f"{plane.endpoint_url}/openai/v1"
    with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as opened:
        yield opened


@pytest.fixture
def http(plane: Emulation) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=plane.endpoint_url, timeout=60) as opened:
        yield opened


# RunPod's client


def test_a_job_runs_and_has_its_output(endpoint: runpod.Endpoint) -> None:
    """`run`, `status`, `output`."""
    job = endpoint.run({"words": ["to", "be"]})
    assert job.output(timeout=30) == ["to", "be"]
    assert job.status() == "COMPLETED"


def test_run_sync_gives_the_output(endpoint: runpod.Endpoint) -> None:
    """It waits for the end."""
    assert endpoint.run_sync({"words": ["or", "not"]}, timeout=30) == ["or", "not"]


def test_a_stream_gives_each_chunk_once(endpoint: runpod.Endpoint) -> None:
    """In their order, while the job runs."""
    words = [f"w{number}" for number in range(12)]
    job = endpoint.run({"words": words, "pause": 0.02})
    assert list(job.stream()) == words


def test_a_job_is_cancelled(endpoint: runpod.Endpoint) -> None:
    """And stays so."""
    job = endpoint.run(LONG)
    job.cancel(timeout=30)
    assert job.status() == "CANCELLED"


def test_health_and_purge(plane: Emulation, endpoint: runpod.Endpoint) -> None:
    """The queue is emptied of what no worker has taken."""
    plane.set_faults(hold_until_stop=True)
    job = endpoint.run({"words": []})
    assert endpoint.health(timeout=30)["jobs"]["inQueue"] == 1
    assert endpoint.purge_queue(timeout=30) == {"removed": 1, "status": "completed"}
    plane.set_faults()
    assert job.status() == "CANCELLED"


# The client's API by hand


def test_runsync_gives_up_waiting_after_its_wait(plane: Emulation, http: httpx.Client) -> None:
    """The job goes on, under its id."""
    job = http.post("/runsync?wait=1000", json={"input": LONG}).json()
    assert job["status"] == "IN_PROGRESS"
    assert http.get(f"/status/{job['id']}").json()["status"] == "IN_PROGRESS"
    plane.cancel(job["id"])


def test_a_retried_job_runs_again_under_its_id(plane: Emulation, http: httpx.Client) -> None:
    """A job that completed cannot be retried."""
    job_id = plane.submit({"words": ["a"], "error": "no more words"})
    plane.ended(job_id)
    assert http.post(f"/retry/{job_id}").json()["id"] == job_id
    assert eventually(lambda: plane.ended(job_id)["deliveries"] == 2)
    completed = plane.ended(plane.submit({"words": []}))
    assert http.post(f"/retry/{completed['id']}").status_code == 400


def test_an_unknown_job_is_not_found(http: httpx.Client) -> None:
    """By all that ask for one."""
    assert http.get("/status/none").status_code == 404
    assert http.post("/cancel/none").status_code == 404


def test_a_nested_job_reaches_the_handler(plane: Emulation) -> None:
    """As deep as the SDK reads."""
    nested: Any = []
    for _ in range(499):
        nested = [nested]
    assert plane.ended(plane.submit({"deep": nested}))["output"] == [500]


class Hook(HTTPServer):
    """A webhook: refuses the first `refuses` POSTs, and keeps all of them."""

    def __init__(self, refuses: int) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.refuses = refuses
        self.bodies: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Receiver(BaseHTTPRequestHandler):
    server: Hook  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        self.send_response(500 if len(self.server.bodies) <= self.server.refuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test says what matters."""


@pytest.mark.parametrize("refuses", [0, 2])
def test_a_webhook_gets_the_result(plane: Emulation, refuses: int) -> None:
    """As /status gives it; it is tried three times."""
    with Hook(refuses) as hook:
        thread = Thread(target=hook.serve_forever)
        thread.start()
        job_id = plane.submit({"words": ["a"]}, webhook=hook.url)
        eventually(lambda: len(hook.bodies) == refuses + 1)
        hook.shutdown()
        thread.join()
    assert hook.bodies[-1]["id"] == job_id
    assert (hook.bodies[-1]["status"], hook.bodies[-1]["output"]) == ("COMPLETED", ["a"])


# OpenAI's client


def said(text: str) -> list[ChatCompletionUserMessageParam]:
    return [{"role": "user", "content": text}]


def test_models_are_listed(client: openai.OpenAI) -> None:
    """A GET becomes a job, too."""
    assert [model.id for model in client.models.list()] == ["toy"]


def test_a_whole_answer(client: openai.OpenAI) -> None:
    """The job's one output is the reply's body."""
    answer = client.chat.completions.create(model="toy", messages=said("hello there"))
    assert answer.choices[0].message.content == "hello there"


def test_a_streamed_answer(client: openai.OpenAI) -> None:
    """Chunk by chunk, to the end."""
    stream = client.chat.completions.create(model="toy", messages=said("a b c"), stream=True)
    words = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
    assert words == ["a", "b", "c"]


def test_a_client_that_leaves_cancels_its_job(plane: Emulation, client: openai.OpenAI) -> None:
    """The worker does not go on for nobody."""
    stream = client.chat.completions.create(model="toy", messages=said("a " * 2000), stream=True)
    next(iter(stream))
    stream.close()
    eventually(lambda: plane.last_job()["state"] == "CANCELLED")


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ({"type": "invalid_request_error", "param": "messages"}, openai.BadRequestError),
        ({"type": "invalid_request_error", "code": "model_not_found"}, openai.NotFoundError),
        ({"type": "rate_limit_error"}, openai.RateLimitError),
        ({"type": "server_error"}, openai.InternalServerError),
    ],
)
def test_a_failed_job_is_openais_error(
    client: openai.OpenAI, error: dict[str, str], raised: type[openai.APIStatusError], streams: bool
) -> None:
    """Its class by the HTTP status, its fields from the worker."""
    text = json.dumps({"message": "It went wrong.", **error})
    with pytest.raises(raised, match=r"It went wrong\.") as caught:
        client.chat.completions.create(model="toy", messages=said(text), stream=streams)
    assert caught.value.param == error.get("param")


def test_a_stream_whose_worker_is_killed_ends_with_an_error(
    plane: Emulation, client: openai.OpenAI
) -> None:
    """Another worker's text would be another text."""
    stream = client.chat.completions.create(model="toy", messages=said("a " * 2000), stream=True)
    next(iter(stream))
    victim = plane.last_job()["worker"]
    plane.start_worker()
    plane.kill(victim)
    with pytest.raises(openai.APIError, match="worker was lost"):
        list(stream)
    stream.close()
    plane.ready(1)
