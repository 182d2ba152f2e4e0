"""What SGLang is told, and what it says."""

import inspect
import re
from typing import Any, Literal

import pytest

from worker.engine.sglang_arguments import (
    argument_names,
    check_engine_args,
    server_args,
)
from worker.engine.sglang_results import grammar_error_message
from worker.model import Model, resolve
from worker.model.gpus import gpu_named
from worker.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (
            (
                "Failed to compile structural_tag grammar: [19:18:13] /project/cpp/regex_converter."
                "cc:83: Regex parsing error at position 4: Unclosed '['\n"
            ),
            "could not be compiled: Regex parsing error at position 4: Unclosed '['",
        ),
        (
            "Failed to compile structural_tag grammar: odd",
            "could not be compiled: Failed to compile structural_tag grammar: odd",
        ),
        (
            "Grammar preprocessing timed out: req.grammar_key=('x', 'secret')",
            "takes too long to compile",
        ),
    ],
)
def test_a_grammar_that_was_refused_says_why(message: str, why: str) -> None:
    """In xgrammar's words, without where they stand in its source."""
    assert why in grammar_error_message(message)
    assert "secret" not in grammar_error_message(message)
    assert "/project" not in grammar_error_message(message)


def test_the_ratio_is_the_one_with_which_the_context_fits() -> None:
    """Where the GPU is known, unless ENGINE_ARGS says otherwise or what the formula cannot know."""

    def ratio(gpu: str | None, **engine_args: Any) -> Any:
        settings = Settings(model="openai/gpt-oss-120b", engine_args=engine_args)
        model = resolve(settings, [gpu_named(gpu)] if gpu else ())
        return server_args(settings, model).get("swa_full_tokens_ratio")

    assert ratio("H100 80GB") == 0.44
    assert ratio("H200") == 0.8
    assert ratio("H100 80GB", swa_full_tokens_ratio=0.6) == 0.6
    assert ratio("H100 80GB", context_length=65_536) == 0.8
    assert ratio("H100 80GB", pp_size=2) is None
    assert ratio(None) is None


def test_the_gpu_decides_about_chunks_and_graphs() -> None:
    """Unless ENGINE_ARGS does; a short list of prefill graphs has to be asked for."""

    def arguments(gpu: str | None, **given: Any) -> dict[str, Any]:
        settings = Settings(model="openai/gpt-oss-20b", **given)
        return server_args(settings, resolve(settings, [gpu_named(gpu)] if gpu else ()))

    h100 = arguments("H100 80GB")
    assert h100["chunked_prefill_size"] == 8192
    assert h100["cuda_graph_max_bs_decode"] == 64
    assert "cuda_graph_bs_prefill" not in h100
    assert arguments("L4")["cuda_graph_max_bs_decode"] == 48
    assert arguments("L4", max_running_requests=16)["cuda_graph_max_bs_decode"] == 16
    assert arguments("L4", engine_args={"chunked_prefill_size": 512})["chunked_prefill_size"] == 512
    assert arguments("L4", chunked_prefill=False)["chunked_prefill_size"] == -1
    few = arguments("L4", prefill_graphs="few")["cuda_graph_bs_prefill"]
    assert few == [16, 64, 128, 256, 512, 1024, 2048, 4096]
    whole = arguments("L4", prefill_graphs="few", chunked_prefill=False)
    assert whole["cuda_graph_bs_prefill"] == few
    short = arguments("L4", prefill_graphs="few", engine_args={"chunked_prefill_size": 512})
    assert short["cuda_graph_bs_prefill"] == [16, 64, 128, 256, 512]
    assert "chunked_prefill_size" not in arguments(None)


def test_the_names_read_from_the_source_are_those_of_server_args() -> None:
    """A new SGLang may keep them elsewhere: this is where one would notice."""
    from sglang.srt.server_args import ServerArgs

    assert argument_names() == set(inspect.signature(ServerArgs).parameters)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("context_lenght", 1, "has no argument 'context_lenght'; did you mean context_length?"),
        ("tp-size", 2, "has no argument 'tp-size'; did you mean tp_size?"),
        ("zzz", 2, "has no argument 'zzz'"),
        ("load_format", "presharded", "load_format='presharded' loses gpt-oss's experts"),
        ("load_format", "sharded_state", "load_format='sharded_state' loses gpt-oss's experts"),
    ],
)
def test_an_argument_that_cannot_work_is_refused(name: str, value: Any, message: str) -> None:
    """With the name that is probably meant."""
    with pytest.raises(SettingsError, match=re.escape(message)):
        server_args(Settings(engine_args={name: value}), resolve(Settings(model="demo")))


def test_other_load_formats_are_not_refused() -> None:
    """Those that read the published files."""
    check_engine_args({"load_format": "fastsafetensors", "page_size": 16})


@pytest.mark.parametrize(
    ("ours", "on_cpu", "theirs"),
    [("info", True, "error"), ("info", False, "warning"), ("debug", True, "debug")],
)
def test_sglang_logs_less_than_the_worker(
    ours: Literal["info", "debug"], on_cpu: bool, theirs: str
) -> None:
    """Errors always; its warnings about the CPU only when asked for."""
    model = Model(path="x", names=("x",), context_length=4096, on_cpu=on_cpu)
    assert server_args(Settings(log_level=ours), model)["log_level"] == theirs
