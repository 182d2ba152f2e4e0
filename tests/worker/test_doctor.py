"""`python -m worker.doctor`: does the model fit."""

import json
import re
import tomllib
from typing import Any

import pytest

from builder.gpu_table import PAGE, page_with
from tests.support import ROOT, made_up_gpus
from tests.support.container import free_port
from tests.support.made_up_gpus import B200, H100, L4, RTX_4090, MadeUpDriver
from worker import __version__, doctor
from worker.model.gpus import GPUS
from worker.settings import Settings


@pytest.fixture(autouse=True)
def only_what_a_test_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> MadeUpDriver:
    return made_up_gpus.build(tmp_path_factory.mktemp("driver"))


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[Any]]:
    """The exit status, and the GPUs of the JSON."""
    status = doctor.main([*arguments, "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["gpus"]
    return status, printed["gpus"]


def test_a_gpu_that_one_does_not_have_can_be_asked_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, and exit 0."""
    assert doctor.main(["--gpu", "RTX 4090"]) == 0
    assert capsys.readouterr().out == (
        "gpt-oss-20b fits on RTX 4090 with 131,072 tokens of context: the KV cache holds 193,245.\n"
    )


def test_what_does_not_fit_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    """With what to set."""
    assert doctor.main(["--gpu", "RTX 4090", "--model", "120b"]) == 1
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert printed.endswith("set TENSOR_PARALLEL_SIZE=4 on 4 GPUs.\n")


def test_the_120b_has_its_whole_context_on_one_h100(capsys: pytest.CaptureFixture[str]) -> None:
    """At the default MEM_FRACTION_STATIC, by the ratio; SGLang's own leaves it 105,013 tokens."""
    status, (h100,) = as_json(capsys, "--gpu", "H100 80GB", "--model", "openai/gpt-oss-120b")
    assert status == 0
    assert h100 == {
        "gpu": "H100 80GB",
        "fits": True,
        "kv_tokens": pytest.approx(131_266, rel=0.001),
        "context": 131_072,
        "settings": {
            "MAX_MODEL_LEN": 131_072,
            "MEM_FRACTION_STATIC": 0.9,
            "TENSOR_PARALLEL_SIZE": 1,
            "MAX_RUNNING_REQUESTS": 64,
            "swa_full_tokens_ratio": 0.44,
        },
        "findings": ["swa_full_tokens_ratio is 0.44 instead of 0.8, so that 131,072 tokens fit."],
    }


def test_the_settings_of_the_environment_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And ENGINE_ARGS before them."""
    monkeypatch.setenv("MODEL", "openai/gpt-oss-120b")
    monkeypatch.setenv("MAX_MODEL_LEN", "auto")
    monkeypatch.setenv("ENGINE_ARGS", '{"swa_full_tokens_ratio": 0.8, "mem_fraction_static": 0.89}')
    status, (h100,) = as_json(capsys, "--gpu", "H100")
    assert (status, h100["fits"], h100["context"]) == (0, True, 92_160)
    assert h100["settings"]["MEM_FRACTION_STATIC"] == 0.89
    monkeypatch.setenv("MAX_MODEL_LEN", "100000")
    status, (h100,) = as_json(capsys, "--gpu", "H100")
    assert (status, h100["fits"], h100["kv_tokens"]) == (1, False, 92_294)
    (finding,) = h100["findings"]
    assert "set swa_full_tokens_ratio=0.65 in ENGINE_ARGS, or mem_fraction_static=0.9" in finding


def test_all_gpus_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Those on which it fits, and those on which it does not, with the reason."""
    status, gpus = as_json(capsys, "--gpu", "all", "--model", "120b")
    assert status == 0
    assert [gpu["gpu"] for gpu in gpus] == [gpu.name for gpu in GPUS]
    fitting = {gpu["gpu"] for gpu in gpus if gpu["fits"]}
    assert fitting == {"A100 80GB", "H100 80GB", "H100 NVL", "RTX PRO 6000", "H200", "B200"}
    assert all(gpu["findings"] for gpu in gpus if not gpu["fits"])


def test_all_gpus_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """What each takes of both models, in Markdown."""
    assert doctor.main(["--gpu", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(GPUS)
    assert lines[0] == "| GPU | memory | RunPod's pool | gpt-oss-20b | gpt-oss-120b |"
    assert (
        "| RTX A4000 | 16 GiB | `AMPERE_16` | 17,408 tokens: `MAX_MODEL_LEN=auto` | "
        "on 8: 710,591 tokens |"
    ) in lines
    assert "| H100 80GB | 80 GiB | `ADA_80_PRO` | 1,391,872 tokens | 131,266 tokens |" in lines


def test_the_page_of_models_has_that_table() -> None:
    """As `python -m builder.gpu_table` writes it."""
    assert page_with(Settings()) == PAGE.read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--gpu", "RTX 4900"], r"Unknown GPU 'RTX 4900'; did you mean RTX 4090 .*\?"),
        (
            ["--gpu", "L4", "--model", "someone/finetune"],
            (
                "The size of 'someone/finetune' is not known: set MODEL to openai/gpt-oss-20b or "
                "openai/gpt-oss-120b."
            ),
        ),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, with exit 1."""
    assert doctor.main([*arguments, "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(f"{line}\n", printed.err)


def test_a_bad_setting_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As at the worker's start."""
    monkeypatch.setenv("MEM_FRACTION_STATIC", "90")
    assert doctor.main(["--gpu", "L4"]) == 1
    assert capsys.readouterr().err == (
        "MEM_FRACTION_STATIC must be a number greater than 0 and less than 1, got '90'\n"
    )


def test_the_demo_model_needs_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    """So there is nothing to find."""
    assert doctor.main(["--model", "demo"]) == 0
    assert capsys.readouterr().out == "The demo model needs no GPU.\n"
    assert as_json(capsys, "--model", "demo") == (0, [])


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    """One number for every command."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    with pytest.raises(SystemExit) as exit_:
        doctor.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"gpt-oss-worker {__version__}\n"


# The command, on machines whose GPUs are made up.

DOCTOR = ["-m", "worker.doctor"]
LARGE = {"MODEL": "openai/gpt-oss-120b"}


def test_a_machines_own_gpus_are_judged(driver: MadeUpDriver) -> None:
    """All of them together: TENSOR_PARALLEL_SIZE is auto."""
    one = driver.run([*DOCTOR, "--json"], [RTX_4090])
    (gpu,) = json.loads(one.stdout)["gpus"]
    assert (one.returncode, gpu["gpu"], gpu["fits"]) == (0, "RTX 4090", True)
    assert gpu["kv_tokens"] == pytest.approx(193_245, rel=0.01)
    four = driver.run([*DOCTOR, "--json"], [L4] * 4, LARGE)
    (gpu,) = json.loads(four.stdout)["gpus"]
    assert (four.returncode, gpu["gpu"], gpu["fits"]) == (0, "4 x L4", True)
    assert gpu["settings"]["TENSOR_PARALLEL_SIZE"] == 4


def test_what_else_a_machine_lacks_is_found(driver: MadeUpDriver) -> None:
    """Driver, memory in use, compilers, FlashInfer's kernels: none of it is about what fits."""
    used = B200.replace("182459", "120459")
    bare = {"FAKE_CUDA": "12080", "PATH": str(driver.folder), **LARGE}
    found = driver.run(DOCTOR, [used], bare)
    lines = found.stdout.splitlines()
    assert found.returncode == 0
    assert lines[0].startswith("gpt-oss-120b fits on B200 with 131,072 tokens of context")
    assert [line.split(" ")[0] for line in lines[1:]] == [
        "60.5",  # GiB of B200's memory are in use
        "The",  # NVIDIA driver 570.86.10 runs CUDA 12.8 at most
        "SGLang",  # compiles kernels at first use, but cannot find nvcc
        "FlashInfer's",  # kernels for Blackwell are not installed
    ]


def test_a_machine_without_a_gpu_asks_for_a_name(driver: MadeUpDriver) -> None:
    """Exit 1."""
    found = driver.run(DOCTOR, [])
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == ("No NVIDIA GPU was found: name one with --gpu NAME, or --gpu all.\n")


REFUSAL = (
    "gpt-oss-120b does not fit on L4: its weights take 60.8 GiB, and MEM_FRACTION_STATIC=0.9 "
    "leaves them 19.4 GiB: set TENSOR_PARALLEL_SIZE=4 on 4 GPUs."
)


@pytest.mark.workers
@pytest.mark.parametrize(
    ("command", "environment", "status"),
    [
        (["handler.py"], {}, 2),
        (["handler.py"], {"RUNPOD_WEBHOOK_GET_JOB": "http://127.0.0.1:9/job"}, 1),  # the SDK's
        (["-m", "worker.serve", "--host", "127.0.0.1"], {"PORT": "0"}, 2),
    ],
    ids=["local", "queue", "http"],
)
def test_a_worker_refuses_before_anything_is_loaded(
    driver: MadeUpDriver, command: list[str], environment: dict[str, str], status: int
) -> None:
    """The same line, once; nothing is downloaded, and no engine boots."""
    if environment.get("PORT"):
        environment = {"PORT": str(free_port())}
    ended = driver.run(command, [L4], {**LARGE, **environment})
    assert ended.returncode == status
    said = ended.stdout + ended.stderr
    assert said.count(REFUSAL) == 1
    assert "Traceback" not in said
    assert "starting the engine" not in said


def test_a_worker_on_an_h100_is_given_the_ratio(driver: MadeUpDriver) -> None:
    """And the context that fits, if it is to be as long as fits."""
    script = """
import json
from worker import settings
from worker.engine import server_args
from worker.machine import installed_gpus
from worker.model import resolve
chosen = settings.load()
model = resolve(chosen, installed_gpus(chosen.cuda_visible_devices))
arguments = server_args(chosen, model)
print(json.dumps([arguments.get("swa_full_tokens_ratio"), arguments["context_length"]]))
"""

    def told(gpu: str, **environment: str) -> list[Any]:
        return json.loads(driver.run(["-c", script], [gpu], {**LARGE, **environment}).stdout)

    small = {"MODEL": "openai/gpt-oss-20b"}
    assert told(H100) == [0.43, 131_072]  # 10 MiB less are free than in the table
    assert told(H100, ENGINE_ARGS='{"swa_full_tokens_ratio": 0.7}') == [0.7, 131_072]
    assert told(H100, MAX_MODEL_LEN="100000") == [0.8, 100_000]
    assert told(L4, MAX_MODEL_LEN="auto", MEM_FRACTION_STATIC="0.7", **small) == [0.33, 74_752]
