"""What RunPod's Hub reads: .runpod/hub.json and tests.json, made from the worker's settings.

The schema is that of https://docs.runpod.io/hub/publishing-guide, written down as JSON Schema.
"""

import json
import re
from typing import Any

import jsonschema
import pytest

from builder import hub
from tests.support import ROOT
from worker import settings
from worker.entrypoints import job
from worker.model.gpus import GPUS, gpu_named
from worker.settings import Settings

HUB = json.loads((ROOT / ".runpod/hub.json").read_text())
TESTS = json.loads((ROOT / ".runpod/tests.json").read_text())
INPUTS = {each["key"]: each["input"] for each in HUB["config"]["env"]}


def an_object(required: str, optional: str = "", **properties: Any) -> dict[str, Any]:
    """An object with these keys and no others."""
    names = [*required.split(), *optional.split()]
    return {
        "type": "object",
        "required": required.split(),
        "properties": {name: properties.get(name, {}) for name in names},
        "additionalProperties": False,
    }


STRING = {"type": "string", "minLength": 1}
STRINGS = {"type": "array", "items": STRING}
COUNT = {"type": "integer", "minimum": 1}
CUDA = {"type": "array", "items": {"type": "string", "pattern": r"^\d+\.\d+$"}}
INPUT = an_object(
    "name type description",
    "default required options min max trueValue falseValue advanced",
    name=STRING,
    type={"enum": ["string", "number", "boolean", "huggingface"]},
    description=STRING,
    options={"type": "array", "items": an_object("label value", label=STRING, value=STRING)},
    advanced={"type": "boolean"},
)
VARIABLE = {"oneOf": [an_object("key value"), an_object("key input", key=STRING, input=INPUT)]}
HUB_SCHEMA = an_object(
    "title description type category config",
    "iconUrl",
    title=STRING,
    description=STRING,
    type={"const": "serverless"},
    category={"enum": ["audio", "embedding", "language", "video", "image"]},
    config=an_object(
        "runsOn containerDiskInGb gpuCount gpuIds",
        "endpointType allowedCudaVersions env presets",
        runsOn={"const": "GPU"},
        containerDiskInGb=COUNT,
        gpuCount=COUNT,
        gpuIds=STRING,
        allowedCudaVersions=CUDA,
        presets={"type": "array", "items": an_object("name defaults", name=STRING)},
        env={"type": "array", "items": VARIABLE},
    ),
)
TESTS_SCHEMA = an_object(
    "tests config",
    tests={
        "type": "array",
        "minItems": 1,
        "items": an_object(
            "name input", "timeout", name=STRING, input={"type": "object"}, timeout=COUNT
        ),
    },
    config=an_object(
        "gpuTypeId gpuCount",
        "env allowedCudaVersions",
        gpuTypeId=STRING,
        gpuCount=COUNT,
        env={"type": "array", "items": an_object("key value", key=STRING, value=STRING)},
        allowedCudaVersions=CUDA,
    ),
)


def test_the_files_are_what_the_settings_say() -> None:
    """After a setting was changed, `python -m builder.hub` writes them anew."""
    for path, text in hub.documents().items():
        assert path.read_text() == text


@pytest.mark.parametrize(("document", "schema"), [(HUB, HUB_SCHEMA), (TESTS, TESTS_SCHEMA)])
def test_the_files_have_the_hubs_schema(document: Any, schema: Any) -> None:
    """Nothing is missing, and nothing is in them that the Hub does not know."""
    jsonschema.validate(document, schema)


def test_what_the_hub_needs_is_in_the_repository() -> None:
    """In its root: a handler, a Dockerfile and a README."""
    assert all((ROOT / name).exists() for name in ("handler.py", "Dockerfile", "README.md"))


def test_every_setting_is_in_the_form_or_left_out_with_a_reason() -> None:
    """And nothing else but RunPod's own timeout."""
    names = {name.upper() for name in set(Settings.model_fields) - hub.LEFT_OUT}
    assert set(INPUTS) == {*names, "RUNPOD_INIT_TIMEOUT"}


@pytest.mark.parametrize("name", sorted(set(INPUTS) - {"RUNPOD_INIT_TIMEOUT"}))
def test_the_default_in_the_form_is_the_workers(name: str) -> None:
    """A form that is sent as it is changes nothing."""
    field = name.lower()
    default = INPUTS[name].get("default")
    given = {} if default is None else {name: str(default).replace("True", "true")}
    assert getattr(settings.read(given), field) == getattr(settings.read({}), field)


@pytest.mark.parametrize("preset", HUB["config"]["presets"], ids=lambda each: each["name"])
def test_a_preset_sets_what_the_form_has(preset: Any) -> None:
    """One for each model of OpenAI's."""
    assert set(preset["defaults"]) <= set(INPUTS)
    assert settings.read(preset["defaults"]).model == f"openai/{preset['name']}"


def test_gpus_are_runpods() -> None:
    """Pools for the form, one kind of GPU for the tests."""
    assert set(HUB["config"]["gpuIds"].split(",")) <= {gpu.pool for gpu in GPUS}
    gpu = gpu_named(TESTS["config"]["gpuTypeId"])
    assert TESTS["config"]["gpuTypeId"] in gpu.other_names


def test_numbers_are_not_so_large_that_they_are_rewritten() -> None:
    """runpodctl's hub deploy sends 1000000 as 1e+06."""
    defaults = [each.get("default") for each in INPUTS.values()]
    assert [number for number in defaults if re.match(r"\d{7}", str(number))] == []


@pytest.mark.parametrize("test", TESTS["tests"], ids=lambda each: each["name"])
def test_the_hubs_tests_are_jobs_that_the_worker_reads(test: Any) -> None:
    """In each form that a job can have."""
    assert job.read(test["input"]).route
