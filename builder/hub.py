"""Writes .runpod/hub.json and .runpod/tests.json: how RunPod's Hub lists and tests the worker.

`python -m builder.hub`, after a setting was added or changed. The form's fields are the worker's
settings, with their defaults and with what they accept, as far as they matter on a queue.
Source: https://docs.runpod.io/hub/publishing-guide. A variable has an `input` even where it could
be static, because `runpodctl hub deploy` drops static values.
"""

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from worker.command import CommandParser
from worker.deploy.plan import CUDA, INIT_TIMEOUT_S, PRESETS
from worker.settings import ALTERNATIVE_NAMES, Settings

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".runpod"

SHOWN = ("model", "hf_token", "max_model_len", "reasoning_effort")
"""The fields that are not among the advanced ones."""

LEFT_OUT = {
    *ALTERNATIVE_NAMES,
    *("runpod_realtime_port", "runpod_webhook_get_job", "cuda_visible_devices"),  # RunPod's own
    *(
        "port",
        "api_key",
        "max_body_mb",
        "max_requests_per_key",
        "cors_origins",
        "api_docs",
    ),  # HTTP alone
    *("dyn_tool_call_parser", "dyn_reasoning_parser"),  # they have one value
}
"""Settings that the Hub's form does not have."""

_NO_DEFAULT = (None, "", (), {})

Object = dict[str, Any]


def hub() -> Object:
    """The content of hub.json."""
    env = [*_fields(), _init_timeout()]
    return {
        "title": "gpt-oss for agents",
        "description": "OpenAI's gpt-oss-20b and 120b on SGLang: chat completions, Responses and "
        "Messages, with streaming, tools and JSON schemas. The 20b also fits on GPUs of 24 GB.",
        "type": "serverless",
        "category": "language",
        "config": {
            "runsOn": "GPU",
            "containerDiskInGb": max(preset.disk_gb for preset in PRESETS.values()),
            "gpuCount": 1,
            "gpuIds": ",".join(PRESETS["120b"].pools),  # on which either model fits
            "allowedCudaVersions": [CUDA, "13.1", "13.2"],
            "presets": [
                {"name": f"gpt-oss-{name}", "defaults": {"MODEL": preset.model}}
                for name, preset in PRESETS.items()
            ],
            "env": env,
        },
    }


def tests() -> Object:
    """The content of tests.json: what the Hub tries on a GPU before it lists a release."""
    example = json.loads((ROOT / "test_input.json").read_text())["input"]
    question = {"messages": [{"role": "user", "content": "What is 2+2?"}]}
    openai = {"openai_route": "/v1/chat/completions", "openai_input": question}
    first, later = INIT_TIMEOUT_S * 1000, 120_000
    return {
        "tests": [
            {"name": "a call of a tool, streamed", "input": example, "timeout": first},
            {"name": "a chat completion", "input": openai, "timeout": later},
            {"name": "a text completion", "input": {"prompt": "One, two,"}, "timeout": later},
        ],
        "config": {
            "gpuTypeId": "NVIDIA GeForce RTX 4090",
            "gpuCount": 1,
            "env": [
                {"key": "MODEL", "value": PRESETS["20b"].model},
                {"key": "RUNPOD_INIT_TIMEOUT", "value": str(INIT_TIMEOUT_S)},
            ],
            "allowedCudaVersions": [CUDA, "13.1", "13.2"],
        },
    }


def _fields() -> Iterator[Object]:
    for name, field in Settings.model_fields.items():
        if name not in LEFT_OUT:
            shown = {"name": name.replace("_", " ").capitalize(), "advanced": name not in SHOWN}
            yield {"key": name.upper(), "input": {**shown, **_input(name, field)}}


def _input(name: str, field: FieldInfo) -> Object:
    accepts = str(field.description)
    described = {"description": accepts[0].upper() + accepts[1:]}
    if name == "model":
        return {**described, "type": "huggingface", "default": field.default}
    kind = _without_none(field.annotation)
    if get_origin(kind) is Literal:
        options = [{"label": value, "value": value} for value in get_args(kind)]
        return {**described, "type": "string", "options": options, "default": field.default}
    if kind is bool:
        both = {"trueValue": "true", "falseValue": "false"}
        return {**described, "type": "boolean", "default": field.default, **both}
    is_number = kind in (int, float) and "auto" not in accepts
    default = field.get_default(call_default_factory=True)
    return {
        **described,
        "type": "number" if is_number else "string",
        **(_bounds(field) if is_number else {}),
        **({} if default in _NO_DEFAULT else {"default": default if is_number else str(default)}),
    }


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(each for each in get_args(annotation) if each is not type(None))
    return annotation


def _bounds(field: FieldInfo) -> Object:
    """The inclusive ones, which are all that a form can say."""
    names = {"ge": "min", "le": "max"}
    return {
        name: getattr(each, bound)
        for each in field.metadata
        for bound, name in names.items()
        if hasattr(each, bound)
    }


def _init_timeout() -> Object:
    return {
        "key": "RUNPOD_INIT_TIMEOUT",
        "input": {
            "name": "Init timeout",
            "type": "number",
            "description": "Seconds that a worker may take to start; RunPod's default is 420",
            "default": INIT_TIMEOUT_S,
            "advanced": True,
        },
    }


def documents() -> dict[Path, str]:
    """Each file, with what it is to contain."""
    contents = {"hub.json": hub(), "tests.json": tests()}
    return {
        FOLDER / name: json.dumps(content, indent=2) + "\n" for name, content in contents.items()
    }


if __name__ == "__main__":
    CommandParser("python -m builder.hub", __doc__).parse_args()
    FOLDER.mkdir(exist_ok=True)
    for path, text in documents().items():
        path.write_text(text)
