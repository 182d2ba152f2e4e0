"""Who may ask: API keys, and how many requests of each may run at once.

Rule: a comparison takes the same time whatever is given, and no key is ever shown.
"""

import hmac
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from pydantic import SecretStr

from worker.errors import TooManyRequests, Unauthorized


class Keys:
    """The keys of a door. Without any, whoever can reach the door may ask, as one client."""

    def __init__(self, keys: Sequence[SecretStr], limit: int | None) -> None:
        self._keys = [key.get_secret_value().encode() for key in keys]
        self._limit = limit
        self._running: Counter[int] = Counter()

    def check(self, authorization: str | None) -> int:
        """The number of the key in `Authorization: Bearer …`. Raises Unauthorized."""
        if not self._keys:
            return 0
        scheme, _, given = (authorization or "").partition(" ")
        same = [hmac.compare_digest(given.strip().encode("latin-1"), key) for key in self._keys]
        if scheme.lower() != "bearer" or True not in same:
            raise Unauthorized(
                "Incorrect API key provided."
                if given
                else "You did not provide an API key: send it as `Authorization: Bearer KEY`."
            )
        return same.index(True)

    @contextmanager
    def running(self, key: int) -> Generator[None]:
        """While a request of this key runs. Raises TooManyRequests if too many do already."""
        if self._limit is not None and self._running[key] >= self._limit:
            raise TooManyRequests(f"At most {self._limit} requests of one key can run at once.")
        self._running[key] += 1
        try:
            yield
        finally:
            self._running[key] -= 1
