"""The emulator's settings, read from environment variables.

Rule: the variable is the field's name in upper case; an empty value counts as unset. A field's
description says what it must be, in the error that names it as well.
"""

import shlex
import sys
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _split_command(value: object) -> object:
    return tuple(shlex.split(value)) if isinstance(value, str) else value


class Settings(BaseSettings):
    """The settings of `python -m emulator`."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", validation_alias="EMULATOR_HOST")
    port: int = Field(default=8080, ge=0, le=65535, description="a port from 0 to 65535")
    """0: any free port, printed when the emulator is ready."""
    workers: int = Field(default=1, ge=0, description="a number of workers, 0 or more")
    worker_command: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_split_command),
        Field(min_length=1, description="a command, quoted as in a shell"),
    ] = (sys.executable, "handler.py")
    ping_interval_ms: int = Field(default=2000, ge=1000, description="milliseconds, 1000 or more")
    """Of the workers that the emulator starts."""
    ping_limit_s: float = Field(default=0, ge=0, description="seconds, 0 or more")
    """Seconds without a ping after which a worker is lost; 0: three ping intervals."""
    poll_seconds: float = Field(default=85, gt=0, description="seconds, more than 0")
    """How long a poll for jobs lasts. The SDK times out after 90 s."""
    account_key: str = Field(default="", validation_alias="EMULATOR_ACCOUNT_KEY")
    """The API key that creates endpoints and pods; without one, any does."""

    @property
    def ping_limit(self) -> float:
        return self.ping_limit_s or 3 * self.ping_interval_ms / 1000
