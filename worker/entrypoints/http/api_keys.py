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

    def check(self, authorization: str | None, api_key: str | None = None) -> int:
        """The index of the key in `Authorization: Bearer …` or `x-api-key`. Raises Unauthorized.

        One valid key is enough: some clients send a placeholder in the other header.
        """
        if not self._keys:
            return 0
        scheme, _, bearer = (authorization or "").partition(" ")
        given = [bearer.strip() if scheme.lower() == "bearer" else "", (api_key or "").strip()]
        same = [
            index
            for text in filter(None, given)
            for index, key in enumerate(self._keys)
            if hmac.compare_digest(text.encode("latin-1"), key)
        ]
        if same:
            return same[0]
        raise Unauthorized(
            "Incorrect API key provided."
            if authorization or api_key
            else "You did not provide an API key. Send it as `Authorization: Bearer KEY` or "
            "`x-api-key: KEY`."
        )

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
