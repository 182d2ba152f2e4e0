"""A coverage-guided fuzz of the parser, outside CI.

    pip install atheris
    python -m fuzz.fuzz_parser -max_len=200 -max_total_time=600

Every two bytes are a token: Harmony's markers, pieces of headers, JSON and text, or any id at all.
What holds for each is what tests/worker/harmony/parsing/test_fuzz.py asserts: nothing raises, no
marker shows, and any split reads the same.
"""

import sys

import atheris

with atheris.instrument_imports(include=["worker.harmony"]):
    from tests.support.conversations import FUNCTIONS, PIECES
    from tests.support.fuzzing import SNIPPETS, SPECIAL, joined, leaks, parse
    from worker.harmony.vocabulary import encode

HEADER_WORDS = (
    *(
        "assistant",
        "user",
        "analysis",
        "commentary",
        "final",
        " to=",
        "functions.",
        " json",
        " code",
    ),
    *('{"', '":', '"', ",", "}", "]", "\\", "NaN"),
)
(BAR,) = encode("|")
"""Only with it can a marker be typed."""
ALPHABET = [
    *([token] for token in SPECIAL),
    *map(encode, (*HEADER_WORDS, *FUNCTIONS, *PIECES)),
    *SNIPPETS,
]


def ids_of(data: bytes) -> list[int]:
    """Two bytes a token: one of the alphabet, or (with the highest bit set) a byte's own token."""
    ids: list[int] = []
    for high, low in zip(data[::2], data[1::2], strict=False):
        number = high << 8 | low
        ids += [number % 256] if high & 128 else ALPHABET[number % len(ALPHABET)]
    return ids


def check(data: bytes) -> None:
    ids = ids_of(data)
    told = joined(parse([ids]))
    if told != joined(parse([[token] for token in ids])):
        raise AssertionError(f"not the same token by token: {ids}")
    if leaks(told) and BAR not in ids:
        raise AssertionError(f"a marker shows: {ids}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
