"""API keys, and the limit on concurrent requests per key.

Rule: keys are compared in constant time and never shown.
"""

import hmac
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from pydantic import SecretStr

from worker.errors import TooManyRequests, Unauthorized


class ApiKeys:
    """The keys of a server. Without any, all clients are accepted and share one limit."""

    def __init__(self, keys: Sequence[SecretStr], limit: int | None) -> None:
        self._keys = [key.get_secret_value().encode() for key in keys]
        self._limit = limit
        self._running: Counter[int] = Counter()

    def check(self, authorization: str | None) -> int:
        """The index of the key in `Authorization: Bearer …`. Raises Unauthorized."""
        if not self._keys:
            return 0
        scheme, _, given = (authorization or "").partition(" ")
        same = [hmac.compare_digest(given.strip().encode("latin-1"), key) for key in self._keys]
        if scheme.lower() != "bearer" or True not in same:
            raise Unauthorized(
                "Incorrect API key provided."
                if given
                else "You did not provide an API key. Send it as `Authorization: Bearer KEY`."
            )
        return same.index(True)

    @contextmanager
    def running(self, key: int) -> Generator[None]:
        """Active while a request with this key runs. Raises TooManyRequests at the limit."""
        if self._limit is not None and self._running[key] >= self._limit:
            raise TooManyRequests(
                f"Rate limit reached: at most {self._limit} concurrent requests per API key; "
                "try again later."
            )
        self._running[key] += 1
        try:
            yield
        finally:
            self._running[key] -= 1
