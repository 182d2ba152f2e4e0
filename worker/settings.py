"""The worker's settings: the only reader of the environment.

Rule: read once, frozen, and checked whole before anything starts. An empty value counts as unset.
A bad value is one line that names the variable, its value (never a secret's) and what it takes.
"""

import json
import logging
import re
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

log = logging.getLogger(__name__)


class SettingsError(ValueError):
    """The environment holds a value that cannot be used. Its text is one line for a person."""


def _split(value: object) -> object:
    return [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else value


def _loads(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _auto(value: object) -> object:
    return None if value == "auto" else value


def _day(value: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        raise ValueError("not a date")
    return value


StateKey = Annotated[SecretStr, Field(min_length=32)]

PEERS = {"model_name": "model", "max_concurrency": "max_running_requests"}
"""Settings of RunPod's vLLM and SGLang workers, and what they are called here."""

_COUNT = "an integer of at least 1"


class Settings(BaseSettings):
    """Every setting; a field's name in capitals is its variable, its description what it takes."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True
    )

    model: str = Field(
        default="openai/gpt-oss-20b",
        description="a Hugging Face id, a folder, or 'demo'",
    )
    model_name: str | None = Field(default=None, description="MODEL, as the peers call it")
    model_revision: str | None = Field(
        default=None, description="a revision of the model on the hub"
    )
    served_model_name: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="names, separated by commas"
    )
    hf_token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN"),
        description="a token of the Hugging Face hub",
    )
    max_model_len: int = Field(default=131072, ge=1, description=_COUNT)
    mem_fraction_static: float = Field(
        default=0.90, gt=0, lt=1, description="a number between 0 and 1 (both excluded)"
    )
    max_running_requests: int = Field(
        default=64,
        ge=1,
        description=_COUNT,
    )
    max_concurrency: int | None = Field(default=None, ge=1, description=_COUNT)
    max_queued_requests: int | None = Field(default=None, ge=1, description=_COUNT)
    tensor_parallel_size: Annotated[int | None, BeforeValidator(_auto)] = Field(
        default=None, ge=1, description="'auto' or an integer of at least 1"
    )
    api_key: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="keys, separated by commas"
    )
    port: int = Field(default=8000, ge=1, le=65535, description="a port number from 1 to 65535")
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="a port number from 1 to 65535"
    )
    max_body_mb: int = Field(default=32, ge=1, description="megabytes, an integer of at least 1")
    max_requests_per_key: int | None = Field(default=None, ge=1, description=_COUNT)
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="origins, separated by commas, or *"
    )
    chunked_prefill: bool = Field(default=True, description="true or false")
    dyn_tool_call_parser: Literal["harmony"] = Field(
        default="harmony",
        description="'harmony' alone: gpt-oss's token ids are parsed by the worker itself",
    )
    dyn_reasoning_parser: Literal["gpt_oss"] = Field(
        default="gpt_oss",
        description="'gpt_oss' alone: gpt-oss's token ids are parsed by the worker itself",
    )
    reasoning_effort: Literal["low", "medium", "high"] = Field(
        default="medium", description="low, medium or high"
    )
    system_date: Annotated[str, BeforeValidator(_day)] | None = Field(
        default=None, description="a date as YYYY-MM-DD"
    )
    reasoning_memory_mb: int = Field(
        default=64, ge=0, description="megabytes, an integer of at least 0 (0: off)"
    )
    state_keys: Annotated[tuple[StateKey, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="keys of at least 32 characters each, separated by commas"
    )
    header_grammar: bool = Field(default=True, description="true or false")
    stream_flush_ms: int = Field(
        default=0, ge=0, description="milliseconds, an integer of at least 0"
    )
    drain_seconds: int = Field(default=60, ge=0, description="seconds, an integer of at least 0")
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)
    ] = Field(default="info", description="debug, info, warning or error")
    engine_args: Annotated[dict[str, Any], NoDecode, BeforeValidator(_loads)] = Field(
        default_factory=dict[str, Any], description="a JSON object of SGLang server arguments"
    )
    runpod_realtime_port: int = Field(default=0, ge=0, le=65535, description="a port number")
    runpod_webhook_get_job: str | None = Field(default=None, description="a URL (set by RunPod)")

    @property
    def log_number(self) -> int:
        """LOG_LEVEL as the logging module counts."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]


def load() -> Settings:
    """The settings of this process's environment. Raises SettingsError.

    A variable of RunPod's other workers counts where ours is not set, and is named in the log.
    """
    try:
        chosen = Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_lines(error))) from None
    return _with_the_peers_names(chosen)


def _with_the_peers_names(chosen: Settings) -> Settings:
    used: dict[str, Any] = {}
    for theirs, ours in PEERS.items():
        if theirs in chosen.model_fields_set:
            wins = ours in chosen.model_fields_set
            log.warning(
                "%s is %s: this worker's name of it is %s",
                theirs.upper(),
                "not used" if wins else "used",
                ours.upper(),
            )
            if not wins:
                used[ours] = getattr(chosen, theirs)
    return chosen.model_copy(update=used)


def _lines(error: ValidationError) -> list[str]:
    """One sentence for each variable at fault."""
    lines: dict[str, str] = {}
    for problem in error.errors():
        location = str(problem["loc"][0])
        name = location.lower()
        field = Settings.model_fields.get(name) or Settings.model_fields["hf_token"]
        secret = "SecretStr" in str(field.annotation)
        shown = "(a secret)" if secret else repr(problem["input"])
        lines[name] = f"{location.upper()}={shown}: takes {field.description}"
    return list(lines.values())
