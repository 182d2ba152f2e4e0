"""The worker's settings. Environment variables are read only here.

Rule: settings are read once, validated together before anything starts, and immutable. An empty
value counts as unset. Errors are reported on one line that names each invalid variable, its value
(never a secret's) and what it accepts.
"""

import difflib
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

log = logging.getLogger(__name__)


class SettingsError(ValueError):
    """An environment variable has an invalid value. The message is one human-readable line."""


def _split(value: object) -> object:
    return [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else value


def _loads(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _auto(value: object) -> object:
    return None if value == "auto" else value


def _off(value: object) -> object:
    return None if value == "off" else value


def _day(value: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        raise ValueError("must be a date (YYYY-MM-DD)")
    return value


def _store(value: str) -> str:
    if value not in ("memory", "off") and not value.startswith("/"):
        raise ValueError("not a path")
    return value


def _collector(value: str | None) -> str | None:
    try:
        found = find_spec("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:  # not even the package's parents are there
        found = None
    if value is not None and found is None:
        raise ValueError("not installed")
    return value


StateKey = Annotated[SecretStr, Field(min_length=32)]

ALTERNATIVE_NAMES = {"model_name": "model", "max_concurrency": "max_running_requests"}
"""Settings of RunPod's vLLM and SGLang workers, mapped to their names here."""

_COUNT = "an integer, 1 or greater"


class Settings(BaseSettings):
    """All settings. Each is read from the variable named like the field in upper case.

    A field's description says which values it accepts; error messages quote it.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True
    )

    model: str = Field(
        default="openai/gpt-oss-20b",
        description="a Hugging Face model ID, a local directory, or 'demo'",
    )
    model_name: str | None = Field(default=None, description="another name for MODEL")
    model_revision: str | None = Field(
        default=None, description="a revision of the model on the Hugging Face Hub"
    )
    served_model_name: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="comma-separated names"
    )
    hf_token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN"),
        description="a Hugging Face access token",
    )
    hf_endpoint: str | None = Field(
        default=None, pattern=r"^https?://[^/]", description="a URL (of a mirror of the Hub)"
    )
    hf_hub_cache: str | None = Field(
        default=None,
        validation_alias=AliasChoices("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"),
        description="a folder",
    )
    hf_home: str | None = Field(default=None, description="a folder")
    models_folder: str = Field(default="/models", description="a folder")
    volume_folder: str | None = Field(default=None, description="a folder")
    max_model_len: Annotated[int | None, BeforeValidator(_auto)] = Field(
        default=131072, ge=1, description="'auto' or an integer, 1 or greater"
    )
    mem_fraction_static: float = Field(
        default=0.90, gt=0, lt=1, description="a number greater than 0 and less than 1"
    )
    max_running_requests: int = Field(
        default=64,
        ge=1,
        description=_COUNT,
    )
    max_concurrency: int | None = Field(default=None, ge=1, description=_COUNT)
    max_queued_requests: int | None = Field(default=None, ge=1, description=_COUNT)
    tensor_parallel_size: Annotated[int | None, BeforeValidator(_auto)] = Field(
        default=None, ge=1, description="'auto' or an integer, 1 or greater"
    )
    api_key: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="comma-separated keys"
    )
    port: int = Field(default=8000, ge=1, le=65535, description="a port number from 1 to 65535")
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="a port number from 1 to 65535"
    )
    max_body_mb: int = Field(default=32, ge=1, description="a size in MB, 1 or greater")
    max_requests_per_key: int | None = Field(default=None, ge=1, description=_COUNT)
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="comma-separated origins, or *"
    )
    api_docs: bool = Field(default=False, description="true or false")
    chunked_prefill: bool = Field(default=True, description="true or false")
    dyn_tool_call_parser: Literal["harmony"] = Field(
        default="harmony",
        description="'harmony' (the worker parses gpt-oss's token IDs itself)",
    )
    dyn_reasoning_parser: Literal["gpt_oss"] = Field(
        default="gpt_oss",
        description="'gpt_oss' (the worker parses gpt-oss's token IDs itself)",
    )
    reasoning_effort: Literal["low", "medium", "high"] = Field(
        default="medium", description="low, medium or high"
    )
    system_date: Annotated[str, BeforeValidator(_day)] | None = Field(
        default=None, description="a date in the form YYYY-MM-DD"
    )
    reasoning_memory_mb: int = Field(
        default=64, ge=0, description="a size in MB, 0 or greater (0 disables it)"
    )
    reasoning_in_call_ids: Annotated[int | None, BeforeValidator(_off)] = Field(
        default=None, ge=64, description="'off' or a number of characters, 64 or greater"
    )
    state_keys: Annotated[tuple[StateKey, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="keys of at least 32 characters each, separated by commas"
    )
    response_store: Annotated[str, AfterValidator(_store)] = Field(
        default="memory", description="'memory', 'off', or an absolute path of a folder"
    )
    response_store_mb: int = Field(default=64, ge=1, description="a size in MB, 1 or greater")
    response_store_hours: float = Field(
        default=24, gt=0, description="a number of hours, greater than 0"
    )
    speculative: Literal["off", "eagle3"] = Field(
        default="off", description="'off' or 'eagle3' (for gpt-oss-120b)"
    )
    prefill_graphs: Literal["all", "few"] = Field(
        default="all", description="'all' or 'few' (CUDA graphs for prompts; few boot faster)"
    )
    header_grammar: bool = Field(default=True, description="true or false")
    direct_output: bool = Field(
        default=True,
        description="true or false (false: through SGLang's detokenizer and tokenizer manager)",
    )
    stream_flush_ms: int = Field(
        default=0, ge=0, description="a number of milliseconds, 0 or greater"
    )
    drain_seconds: int = Field(default=60, ge=0, description="a number of seconds, 0 or greater")
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)
    ] = Field(default="info", description="debug, info, warning or error")
    log_format: Literal["text", "json"] = Field(
        default="text", description="'text' or 'json' (one object for each line of the log)"
    )
    otel_exporter_otlp_endpoint: Annotated[str | None, AfterValidator(_collector)] = Field(
        default=None,
        pattern=r"^https?://[^/]",
        description="a URL (of an OpenTelemetry collector), with the package "
        "opentelemetry-exporter-otlp-proto-http installed",
    )
    engine_args: Annotated[dict[str, Any], NoDecode, BeforeValidator(_loads)] = Field(
        default_factory=dict[str, Any], description="a JSON object of SGLang server arguments"
    )
    runpod_realtime_port: int = Field(
        default=0, ge=0, le=65535, description="a port number from 0 to 65535"
    )
    cuda_visible_devices: str | None = Field(
        default=None, description="comma-separated indices or UUIDs of GPUs"
    )
    runpod_webhook_get_job: str | None = Field(default=None, description="a URL (set by RunPod)")

    @property
    def log_level_number(self) -> int:
        """LOG_LEVEL as the logging module's number."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]


class _Given(Settings):
    """Settings from their arguments alone."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def read(variables: Mapping[str, str]) -> Settings:
    """The settings of a worker that has these environment variables. Raises SettingsError.

    Nothing of this process's own environment is read, nor is a warning logged.
    """
    names = {"HUGGING_FACE_HUB_TOKEN": "hf_token", "HF_TOKEN": "hf_token"}
    given = {names.get(key, key.lower()): value for key, value in variables.items() if value}
    return _validated(_Given, given)


def load() -> Settings:
    """Reads the settings from the environment. Raises SettingsError.

    The variable names of RunPod's other workers (`ALTERNATIVE_NAMES`) are used where ours are not
    set; either way a warning is logged, as it is for a name that seems to be misspelt.
    """
    for name, meant in misspelt(os.environ).items():
        log.warning("%s is not a setting and is ignored; did you mean %s?", name, meant)
    return _apply_alternative_names(_validated(Settings, {}))


def variable_names() -> frozenset[str]:
    """The names of all variables that are read."""
    names = {name.upper() for name in Settings.model_fields}
    return frozenset(names | {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_CACHE"})


def misspelt(names: Iterable[str]) -> dict[str, str]:
    """Names that seem to be meant for a setting, with the nearest right one.

    MAX_MODEL_LENGTH is meant for MAX_MODEL_LEN; HOSTNAME is not ours, nor what RunPod sets.
    """
    known = variable_names()
    meant: dict[str, str] = {}
    for name in names:
        if name.upper() in known or name.startswith(("RUNPOD_", "NVIDIA_")):
            continue
        if close := difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8):
            meant[name] = close[0]
    return meant


def _validated(kind: type[Settings], given: Mapping[str, Any]) -> Settings:
    try:
        return kind(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(_lines(error))) from None


def _apply_alternative_names(chosen: Settings) -> Settings:
    used: dict[str, Any] = {}
    for theirs, ours in ALTERNATIVE_NAMES.items():
        if theirs in chosen.model_fields_set:
            wins = ours in chosen.model_fields_set
            log.warning(
                "%s is %s; this worker's name for it is %s",
                theirs.upper(),
                "ignored" if wins else "used",
                ours.upper(),
            )
            if not wins:
                used[ours] = getattr(chosen, theirs)
    return chosen.model_copy(update=used)


def _lines(error: ValidationError) -> list[str]:
    """One message for each invalid variable."""
    lines: dict[str, str] = {}
    for problem in error.errors():
        location = str(problem["loc"][0])
        name = location.lower()
        field = Settings.model_fields.get(name) or Settings.model_fields["hf_token"]
        secret = "SecretStr" in str(field.annotation)
        shown = "a secret value" if secret else repr(problem["input"])
        lines[name] = f"{location.upper()} must be {field.description}, got {shown}"
    return list(lines.values())
