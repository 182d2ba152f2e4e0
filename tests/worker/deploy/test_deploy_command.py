"""`python -m worker.deploy` in its own process, over HTTP, against an emulated RunPod account.

The endpoints that it creates are served by a toy worker, behind the emulator's real queue.
"""

import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.support import ROOT
from tests.support.container import free_port
from tests.support.deploying import KEY, RunPod, command, deploy, environment
from tests.support.emulation import emulation, eventually
from worker.deploy.__main__ import main

pytestmark = pytest.mark.slow  # a process each

IMAGE = ("--image", "ghcr.io/me/gpt-oss-worker:0.1.0")
CREATE = ("20b", *IMAGE, "--yes")


@pytest.fixture(scope="module")
def account() -> Iterator[RunPod]:
    """An account that knows one key. One worker answers for all endpoints."""
    with emulation(workers=1, EMULATOR_ACCOUNT_KEY=KEY) as plane:
        plane.ready()
        with closing(RunPod(plane.url)) as runpod:
            yield runpod


@pytest.fixture
def runpod(account: RunPod) -> Iterator[RunPod]:
    """The account, empty and without faults."""
    account.clear()
    yield account
    account.clear()


@pytest.mark.parametrize(
    ("flag", "there", "base"),
    [("--queue", "endpoints", "/v2/demo/openai/v1"), ("--lb", "endpoints", "/lb/{id}/v1")],
)
def test_an_endpoint_answers_at_the_url_that_is_printed(
    flag: str, there: str, base: str, runpod: RunPod
) -> None:
    """Created as planned, with its model cached; an OpenAI client's request is answered there."""
    ran = runpod.deploy(*CREATE, flag)
    assert ran.status == 0, ran.error
    (endpoint,) = runpod.overview()[there]
    assert endpoint["modelReferences"] == ["https://huggingface.co/openai/gpt-oss-20b:main"]
    url = runpod.url + base.format(id=endpoint["id"])
    assert ran.out.splitlines()[0] == f"base URL: {url}"
    answer = httpx.get(f"{url}/models", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.json()["data"][0]["id"] == "toy"


def test_caching_the_model_changes_nothing_else_of_the_endpoint(runpod: RunPod) -> None:
    """GraphQL's saveEndpoint replaces it as a whole, so everything has to be sent again."""
    options = ("--min-workers", "1", "--max-workers", "5", "--idle-timeout", "77")
    assert runpod.deploy(*CREATE, *options).status == 0
    overview = runpod.overview()
    (endpoint,), asked = overview["endpoints"], overview["created"][-1]
    assert {key: endpoint[key] for key in asked} == asked


def test_without_a_cached_model_graphql_is_not_asked(runpod: RunPod) -> None:
    """The worker downloads the model itself."""
    runpod.set_faults(refuse={"save": {"status": 500, "detail": "not asked"}})
    assert runpod.deploy(*CREATE, "--no-cached-model").status == 0
    assert runpod.overview()["endpoints"][0]["modelReferences"] == []


def test_a_pod_answers_to_a_key_of_its_own(runpod: RunPod) -> None:
    """Its port is open to everyone, so a key is made up for it, shown once and with its command."""
    ran = runpod.deploy(*CREATE, "--pod", "--gpu", "H100")
    assert ran.status == 0, ran.error
    (pod,) = runpod.overview()["pods"]
    key = pod["env"]["API_KEY"]
    assert len(key) >= 32
    assert f"export API_KEY={key}" in ran.out
    assert (pod["ports"], pod["startSsh"]) == (["8000/tcp", "22/tcp"], True)
    assert pod["gpu"]["id"] == "NVIDIA H100 80GB HBM3"


def test_a_key_that_was_chosen_for_a_pod_is_not_shown(runpod: RunPod) -> None:
    """Neither in the plan nor in the command to try it."""
    ran = runpod.deploy(*CREATE, "--pod", "--env", "API_KEY=chosen-by-me")
    assert ran.status == 0, ran.error
    assert "chosen-by-me" not in ran.out + ran.error


def test_the_printed_curl_is_answered(runpod: RunPod) -> None:
    """As it stands, in a shell that has the key."""
    ran = runpod.deploy(*CREATE)
    curl = ran.out.partition("curl ")[2].partition("\nTo delete")[0]
    done = subprocess.run(
        ["bash", "-c", f"curl -sS --noproxy '*' {curl}"],
        env=runpod.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "What is 2+2?"


def test_the_plan_has_the_price_that_runpod_asks_now(runpod: RunPod) -> None:
    """From the catalog, per pool for an endpoint and per GPU for a pod; times the GPUs."""
    assert "ADA_24 (RTX 4090): $1.12 an hour" in runpod.deploy(*CREATE).error
    ran = runpod.deploy(*CREATE, "--pod", "--gpu", "H100", "--gpu-count", "2")
    assert "2 x H100 80GB: $5.98 an hour" in ran.error


@pytest.mark.parametrize(("flag", "there"), [("--queue", "endpoints"), ("--pod", "pods")])
def test_delete_takes_it_away_by_name_or_by_id(flag: str, there: str, runpod: RunPod) -> None:
    """What it prints at the end is the command for that."""
    for by in ("name", "id"):
        ran = runpod.deploy(*CREATE, flag)
        created = runpod.overview()[there][0]
        deletion = ran.out.splitlines()[-1].rpartition(" -m worker.deploy ")[2].split()
        assert created["id"] in deletion
        words = [created[by] if word == created["id"] else word for word in deletion]
        deleted = runpod.deploy(*words)
        assert (deleted.status, deleted.error) == (0, "")
        assert created["id"] in deleted.out
        assert runpod.overview()[there] == []


def test_a_name_that_is_taken_is_not_taken_twice(runpod: RunPod) -> None:
    """RunPod would make a second endpoint, and bill both."""
    runpod.deploy(*CREATE)
    ran = runpod.deploy(*CREATE)
    assert ran.status == 1
    assert "is already named 'gpt-oss-20b'" in ran.lines[-1]
    assert len(runpod.overview()["endpoints"]) == 1


def test_several_of_one_name_are_deleted_by_id_alone(runpod: RunPod) -> None:
    """None is chosen for the user."""
    body = json.loads(deploy("20b", "--print").out)["body"]
    for _ in range(2):
        runpod.ask("POST", "/v2/serverless", body)
    ran = runpod.deploy("--delete", "gpt-oss-20b")
    assert (ran.status, len(runpod.overview()["endpoints"])) == (1, 2)
    assert "choose by id" in ran.lines[-1]


def one_line(ran_error: str) -> str:
    (line,) = ran_error.splitlines()
    return line


WRONG = [
    (("20b", "--gpu", "RTX 9090"), "Unknown GPU 'RTX 9090'"),
    (("20b", "--gpu", "MI300X"), "MI300X is in none of RunPod's serverless pools"),
    (("20b", "--pod", "--gpu", "AMPERE_24"), "A pod has one kind of GPU"),
    (("120b", "--gpu", "RTX 4090"), "gpt-oss-120b does not fit on RTX 4090"),
    (("120b", "--gpu-count", "3"), "does not divide"),
    (("20b", "--env", "MAX_MODEL_LEN=long"), "--env MAX_MODEL_LEN must be"),
    (("20b", "--env", "novalue"), "must be NAME=VALUE"),
    (("20b", "--lb", "--env", "API_KEY=x"), "leave it unset"),
    (("20b", "--min-workers", "4"), "--min-workers 4 is over --max-workers 3"),
    (("20b", "--idle-timeout", "4000"), "3600 or less"),
    (("20b", "--image", "https://ghcr.io/me/x"), "--image takes a Docker image"),
    (("20b",), "--image is missing"),
    (("20b", *IMAGE), "Add --yes"),
    (("7b",), "invalid choice: '7b'"),
    (("20b", "--queue", "--pod"), "not allowed with argument"),
    ((), "say what to deploy"),
    (("20b", "--delete", "x"), "say what to deploy"),
    (("--delete", "ep-none"), "RunPod refused to delete the endpoint ep-none (404)"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_argument_is_said_and_nothing_is_created(
    arguments: tuple[str, ...],
    said: str,
    runpod: RunPod,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In one line, after the plan if there is one; the exit status is not 0."""
    for name, value in runpod.environment().items():
        monkeypatch.setenv(name, value)
    try:
        status = main(arguments)
    except SystemExit as exit_:
        status = exit_.code
    assert status in (1, 2)
    assert said in capfd.readouterr().err.splitlines()[-1]
    assert runpod.overview()["endpoints"] == runpod.overview()["pods"] == []


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "RUNPOD_API_KEY is not set"),
        ("rpa_wrong", "RunPod does not accept the RUNPOD_API_KEY (401)"),
        ("rpa_with\nnewline", "RUNPOD_API_KEY has characters"),
        ("rpa_ümlaut", "RUNPOD_API_KEY has characters"),
    ],
)
def test_a_wrong_key_is_said_and_not_shown(key: str, said: str, runpod: RunPod) -> None:
    """Whatever is wrong with it."""
    ran = runpod.deploy(*CREATE, RUNPOD_API_KEY=key)
    assert ran.status == 1
    assert said in one_line(ran.error)
    assert not key or key not in ran.error + ran.out


@pytest.mark.parametrize("operation", ["catalog", "create", "save", "read", "delete"])
def test_the_key_is_cut_out_of_what_runpod_says(operation: str, runpod: RunPod) -> None:
    """Also where RunPod repeats it."""
    refusal = {"status": 403, "detail": f"the key {KEY} has no permission"}
    runpod.set_faults(refuse={operation: refusal})
    arguments = ("--delete", "some") if operation == "delete" else CREATE
    ran = runpod.deploy(*arguments)
    assert ran.status == 1
    assert "the key *** has no permission" in ran.lines[-1]
    assert KEY not in ran.error + ran.out


@pytest.mark.parametrize(
    ("status", "detail", "said"),
    [
        (402, "Your balance is too low.", "RunPod refused to create the endpoint (402): Your bal"),
        (409, "Max workers quota exceeded", "(409): Max workers quota exceeded"),
        (429, "rate limit exceeded", "RunPod's rate limit is reached (429): try again in 60 s."),
        (500, "oops", "RunPod refused to create the endpoint (500): oops"),
    ],
)
def test_what_runpod_refuses_is_said_with_its_reason(
    status: int, detail: str, said: str, runpod: RunPod
) -> None:
    """A balance, a quota, a rate, a breakdown."""
    runpod.set_faults(refuse={"create": {"status": status, "detail": detail}})
    ran = runpod.deploy(*CREATE)
    assert (ran.status, runpod.overview()["endpoints"]) == (1, [])
    assert said in ran.lines[-1]


@pytest.mark.parametrize("flag", ["--queue", "--pod"])
def test_without_a_free_gpu_nothing_is_created(flag: str, runpod: RunPod) -> None:
    """The catalog says so beforehand."""
    runpod.set_faults(no_capacity=True)
    ran = runpod.deploy(*CREATE, flag)
    assert ran.status == 1
    assert "free now: choose another --gpu, or try later." in one_line(ran.error)
    assert runpod.overview()["endpoints"] == runpod.overview()["pods"] == []


def test_what_was_half_created_is_deleted_again(runpod: RunPod) -> None:
    """The endpoint whose model cannot be cached; the line says how to do without."""
    runpod.set_faults(refuse={"save": {"status": 500, "detail": "modelReferences: not allowed"}})
    ran = runpod.deploy(*CREATE)
    assert (ran.status, runpod.overview()["endpoints"]) == (1, [])
    assert "modelReferences: not allowed" in ran.lines[-1]
    assert "was deleted. Use --no-cached-model to do without it." in ran.lines[-1]


def test_what_cannot_be_deleted_again_is_named(runpod: RunPod) -> None:
    """With the command that deletes it."""
    refusal = {"status": 500, "detail": "try later"}
    runpod.set_faults(refuse={"save": refusal, "delete": refusal})
    ran = runpod.deploy(*CREATE)
    (endpoint,) = runpod.overview()["endpoints"]
    assert f"The endpoint {endpoint['id']} is still there" in ran.lines[-1]
    assert f"`python -m worker.deploy --delete {endpoint['id']}`" in ran.lines[-1]


def test_what_may_have_been_created_is_said(runpod: RunPod) -> None:
    """RunPod created it, and the reply was lost: the command that is named deletes it."""
    runpod.set_faults(lose_reply=["create"])
    ran = runpod.deploy(*CREATE)
    assert ran.status == 1
    assert "may have been created" in ran.lines[-1]
    assert len(runpod.overview()["endpoints"]) == 1
    deletion = ran.lines[-1].partition("`")[2].partition("`")[0]
    assert runpod.deploy(*deletion.split()[3:]).status == 0
    assert runpod.overview()["endpoints"] == []


def test_a_pod_that_fails_is_named_with_the_command_that_takes_it_away(runpod: RunPod) -> None:
    """It is billed until then, and its log says what is wrong."""
    runpod.set_faults(pods_fail=True)
    ran = runpod.deploy(*CREATE, "--pod")
    (pod,) = runpod.overview()["pods"]
    assert ran.status == 1
    assert f"The pod has ended (ERROR): its log says why. The pod {pod['id']}" in ran.lines[-1]
    assert f"`python -m worker.deploy --delete {pod['id']} --pod` deletes it." in ran.lines[-1]


def test_an_interrupted_wait_names_what_is_there() -> None:
    """Ctrl-C while a worker starts. (This account has none.)"""
    with (
        emulation(workers=0, EMULATOR_ACCOUNT_KEY=KEY) as plane,
        closing(RunPod(plane.url)) as runpod,
    ):
        with runpod.started(*CREATE) as process:
            assert process.stderr
            told = iter(process.stderr.readline, "")
            assert next(line for line in told if "no worker yet" in line)
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=30)[1]
        (endpoint,) = runpod.overview()["endpoints"]
        assert process.returncode == 1
        assert rest.splitlines()[-1].startswith(f"Interrupted. The endpoint {endpoint['id']}")
        assert "Traceback" not in rest


def test_an_api_that_cannot_be_reached_is_said() -> None:
    """With its address."""
    url = f"http://127.0.0.1:{free_port()}"
    ran = deploy(*CREATE, **environment(url))
    assert ran.status == 1
    assert one_line(ran.error).startswith(f"RunPod cannot be reached at {url}")


def test_the_key_is_sent_over_tls_alone() -> None:
    """To another machine, that is."""
    ran = deploy(*CREATE, **environment("http://runpod.example"))
    assert ran.status == 1
    assert "must begin with https://" in one_line(ran.error)


def test_print_needs_neither_key_nor_network() -> None:
    """One JSON object; a network cannot be reached from here, and no key is set."""
    path = os.environ["PATH"]
    offline = {"PATH": path, "RUNPOD_API_BASE_URL": f"http://127.0.0.1:{free_port()}"}
    ran = deploy("120b", "--lb", "--print", **offline)
    assert ran.status == 0
    printed = json.loads(ran.out)
    assert printed["body"]["type"] == "LOAD_BALANCER"
    assert printed["context"] == 131072
    assert "ADA_80_PRO (H100 80GB or H100 NVL): $4.18 an hour" in ran.error


def test_what_is_printed_has_no_secrets() -> None:
    """But a reference to one of RunPod's secrets, which is none."""
    secrets = ("HF_TOKEN=hf_abc", "SSH_PASSWORD=pass", "API_KEY={{ RUNPOD_SECRET_api_key }}")
    options = [word for each in secrets for word in ("--env", each)]
    ran = deploy("20b", "--print", *options, PATH=os.environ["PATH"])
    assert json.loads(ran.out)["body"]["env"] == {
        "MODEL": "openai/gpt-oss-20b",
        "HF_TOKEN": "***",
        "SSH_PASSWORD": "***",
        "API_KEY": "{{ RUNPOD_SECRET_api_key }}",
        "RUNPOD_INIT_TIMEOUT": "1800",
    }
    assert "hf_abc" not in ran.error


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("", 1), ("no", 1)])
def test_it_asks_before_it_creates(answer: str, status: int, runpod: RunPod) -> None:
    """On a terminal; nothing but yes is yes."""
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "r+b", buffering=0)) as terminal:
        process = subprocess.Popen(
            command("20b", *IMAGE),
            cwd=ROOT,
            env=runpod.environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""

        def asks() -> bool:
            nonlocal shown
            if select.select([terminal], [], [], 0)[0]:
                shown += terminal.read(4096)
            return b"Create this endpoint? [y/N]" in shown

        eventually(asks)
        terminal.write(f"{answer}\n".encode())
        eventually(lambda: process.poll() is not None)
    assert process.returncode == status
    assert len(runpod.overview()["endpoints"]) == (1 if status == 0 else 0)


def test_it_needs_neither_sglang_nor_torch_nor_runpods_sdk() -> None:
    """Whoever deploys has a laptop."""
    script = (
        "import sys, runpy; sys.argv = ['deploy', '20b', '--print'];\n"
        "try: runpy.run_module('worker.deploy', run_name='__main__')\n"
        "except SystemExit: print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [command()[0], "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    heavy = {"sglang", "torch", "transformers", "runpod", "openai", "openai_harmony", "numpy"}
    assert loaded & heavy == set()
