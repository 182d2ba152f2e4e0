"""Coverage-guided fuzzing of the parser, outside CI.

    pip install atheris
    python -m fuzz.fuzz_parser -max_len=200 -max_total_time=600

Every two bytes are an entry of the alphabet (Harmony's markers, pieces of headers, JSON and text)
or a single-byte token. It checks what tests/worker/harmony/parsing/test_fuzz.py asserts: the parser
never raises, no marker leaks into the output, and any split of the ids parses the same.
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
"""A marker can be typed as text only with it, so input that has it may show markers."""
ALPHABET = [
    *([token] for token in SPECIAL),
    *map(encode, (*HEADER_WORDS, *FUNCTIONS, *PIECES)),
    *SNIPPETS,
]


def ids_of(data: bytes) -> list[int]:
    """Every two bytes are an entry of ALPHABET or, if the high bit is set, a single-byte token."""
    ids: list[int] = []
    for high, low in zip(data[::2], data[1::2], strict=False):
        number = high << 8 | low
        ids += [number % 256] if high & 128 else ALPHABET[number % len(ALPHABET)]
    return ids


def check(data: bytes) -> None:
    ids = ids_of(data)
    events = joined(parse([ids]))
    if events != joined(parse([[token] for token in ids])):
        raise AssertionError(f"Parsed differently token by token: {ids}")
    if leaks(events) and BAR not in ids:
        raise AssertionError(f"A marker leaked into the output: {ids}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
