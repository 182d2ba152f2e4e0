"""The emulator's settings: its reader of the environment.

Rule: an empty value counts as unset; a field's name in capitals is its variable.
"""

import shlex
import sys
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _words(value: object) -> object:
    return tuple(shlex.split(value)) if isinstance(value, str) else value


class Settings(BaseSettings):
    """What `python -m emulator` can be told."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", validation_alias="EMULATOR_HOST")
    port: int = Field(default=8080, ge=0, le=65535)
    """0: any free one, named in the line that says that the emulator is ready."""
    workers: int = Field(default=1, ge=0)
    worker_command: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = (
        sys.executable,
        "handler.py",
    )
    ping_interval_ms: int = Field(default=2000, ge=1000)
    """Of the workers that are started here. Three missed pings make a worker lost."""
    ping_limit_s: float = Field(default=0, ge=0)
    """Seconds without a ping that make a worker lost; 0: three pings' time."""
    poll_seconds: float = Field(default=85, gt=0)
    """How long a poll for jobs is held. The SDK gives up after 90 s."""

    @property
    def ping_limit(self) -> float:
        return self.ping_limit_s or 3 * self.ping_interval_ms / 1000
