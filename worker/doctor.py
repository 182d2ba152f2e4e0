"""Does it fit? Says whether the model fits on a GPU with the settings of the environment.

`python -m worker.doctor` looks at this machine, `--gpu "RTX 4090"` at a GPU that you do not have,
and `--gpu all` prints the table for choosing one. Nothing is downloaded or loaded. The exit status
is 0 if the model fits (on any of the GPUs, with `--gpu all`), else 1.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.command import CommandParser, require_packages, run

if __name__ == "__main__":
    require_packages()

from worker import settings
from worker.engine.sglang_arguments import check_engine_args
from worker.machine import flashinfer_findings, installed_gpus, machine_findings
from worker.model import read_config, size_of
from worker.model.fit import MODEL_SIZES, TP_SIZES, ModelSize
from worker.model.gpus import GIB, GPUS, Gpu, UnknownGpu, gpu_named
from worker.model.verdict import Verdict, demand_of, judge, judge_machine
from worker.settings import Settings, SettingsError

SHORT_NAMES = {
    short: f"openai/{size.name}"
    for size in MODEL_SIZES
    for short in (size.name, size.name.removeprefix("gpt-oss-"))
}


class Unanswerable(Exception):
    """The doctor cannot say anything. The message is one line with what to set."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        chosen = settings.load()
        check_engine_args(chosen.engine_args)
        model = asked.model or chosen.model
        if model == "demo" and not asked.gpu:
            return _answer_for_demo(asked.json)
        size = _size(SHORT_NAMES.get(model, model))
        if asked.gpu == "all" and not asked.json:
            print("\n".join(table(chosen)))
        verdicts = list(_verdicts(chosen, size, asked.gpu))
    except (SettingsError, UnknownGpu, Unanswerable) as error:
        print(error, file=sys.stderr)
        return 1
    if asked.json:
        print(json.dumps({"gpus": [as_json(verdict) for verdict in verdicts]}))
    elif asked.gpu != "all":
        for verdict in verdicts:
            print("\n".join(report(verdict)))
    return 0 if any(verdict.fits for verdict in verdicts) else 1


def _parser() -> CommandParser:
    parser = CommandParser("python -m worker.doctor", __doc__)
    parser.add_argument("--model", metavar="ID", help="instead of MODEL; also 20b, 120b")
    parser.add_argument("--gpu", metavar="NAME", help="RunPod's name of a GPU, or all")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _answer_for_demo(as_json: bool) -> int:
    """The demo model runs on the CPU, so there is no GPU to judge."""
    print(json.dumps({"gpus": []}) if as_json else "The demo model needs no GPU.")
    return 0


def _size(model: str) -> ModelSize:
    size = size_of(model, read_config(Path(model)))
    if size is None:
        known = " or ".join(f"openai/{size.name}" for size in MODEL_SIZES)
        raise Unanswerable(f"The size of {model!r} is not known: set MODEL to {known}.")
    return size


def _verdicts(chosen: Settings, size: ModelSize, name: str | None) -> Iterator[Verdict]:
    if name is None:
        yield _this_machine(chosen, size)
        return
    for gpu in GPUS if name == "all" else (gpu_named(name),):
        verdict = judge(demand_of(chosen, size), gpu)
        if verdict.fits and gpu.is_blackwell:
            verdict = _with_notes(verdict, flashinfer_findings())
        yield verdict


def _this_machine(chosen: Settings, size: ModelSize) -> Verdict:
    gpus = installed_gpus(chosen.cuda_visible_devices)
    if not gpus:
        raise Unanswerable("No NVIDIA GPU was found: name one with --gpu NAME, or --gpu all.")
    verdict = judge_machine(demand_of(chosen, size, len(gpus)), gpus)
    return _with_notes(verdict, machine_findings(gpus, verdict.demand.tp_size))


def _with_notes(verdict: Verdict, notes: Iterator[str]) -> Verdict:
    return replace(verdict, notes=(*verdict.notes, *notes))


def as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "gpu": verdict.gpu,
        "fits": verdict.fits,
        "kv_tokens": verdict.kv_tokens,
        "context": verdict.context,
        "settings": verdict.settings,
        "findings": list(verdict.findings),
    }


def report(verdict: Verdict) -> Iterator[str]:
    """The verdict as lines for a person."""
    if verdict.fits:
        yield (
            f"{verdict.demand.size.name} fits on {verdict.gpu} with {verdict.context:,} tokens of "
            f"context: the KV cache holds {verdict.kv_tokens:,}."
        )
    yield from verdict.findings


def table(chosen: Settings) -> Iterator[str]:
    """The table for choosing a GPU, in Markdown: what each takes of each model."""
    yield f"| GPU | memory | RunPod's pool | {' | '.join(size.name for size in MODEL_SIZES)} |"
    yield "| --- | --- | --- |" + " --- |" * len(MODEL_SIZES)
    for gpu in GPUS:
        cells = [_cell(chosen, size, gpu) for size in MODEL_SIZES]
        pool = f"`{gpu.pool}`" if gpu.pool else ""
        yield f"| {gpu.name} | {round(gpu.total / GIB)} GiB | {pool} | {' | '.join(cells)} |"


def _cell(chosen: Settings, size: ModelSize, gpu: Gpu) -> str:
    """The tokens that the KV cache holds, or what to set so that it holds enough."""
    demand = demand_of(chosen, size)
    verdict = judge(demand, gpu)
    if verdict.fits:
        return f"{verdict.kv_tokens:,} tokens"
    shorter = judge(replace(demand, context_length=None), gpu)
    if shorter.fits:
        return f"{shorter.context:,} tokens: `MAX_MODEL_LEN=auto`"
    for tp in TP_SIZES:
        several = judge(replace(demand, tp_size=tp), gpu)
        if tp > demand.tp_size and several.fits:
            return f"on {tp}: {several.kv_tokens:,} tokens"
    return "no"


if __name__ == "__main__":
    run(main)
