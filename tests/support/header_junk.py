"""Well-formed headers, and the same with junk inserted at each position before `<|message|>`.

gpt-oss-20b writes a stray token into a header in up to a few percent of its turns.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.scripted_engine import tokens
from worker.harmony.vocabulary import MESSAGE, START

PARIS = '{"city": "Paris, or [so]", "n": 1}'


@dataclass(frozen=True, slots=True)
class Form:
    """A header, and the kind of its message: call, reasoning or text."""

    header: str
    kind: str

    @property
    def body(self) -> str:
        return PARIS if self.kind == "call" else "It is sunny today."

    def ids(self) -> list[int]:
        return tokens(f"{self.header}<|message|>{self.body}<|end|>")


FORMS = [
    *(
        Form(header, "call")
        for header in (
            "<|channel|>commentary to=functions.get_weather <|constrain|>json",
            "<|channel|>commentary to=functions.get_weather json",
            "<|channel|>commentary to=functions.get_weather code",
            "<|channel|>commentary to=functions.get_weather",
            "<|channel|>analysis to=functions.get_weather <|constrain|>json",
            "<|channel|>analysis to=functions.get_weather code",
            " to=functions.get_weather<|channel|>commentary <|constrain|>json",
            " to=functions.get_weather<|channel|>commentary json",
            "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json",
            "<|start|>assistant to=functions.get_weather<|channel|>commentary json",
        )
    ),
    Form("<|channel|>analysis", "reasoning"),
    Form("<|start|>assistant<|channel|>analysis", "reasoning"),
    Form("<|channel|>final", "text"),
    Form("<|channel|>final <|constrain|>json", "text"),
    Form("<|start|>assistant<|channel|>final", "text"),
    Form("<|channel|>commentary", "text"),
]


def places(form: Form) -> Iterator[int]:
    """Where junk can be: before each id up to `<|message|>`; if the header begins with `<|start|>`,
    only after it, since what precedes it is not part of the header."""
    ids = form.ids()
    yield from range(ids[0] == START, ids.index(MESSAGE) + 1)


def with_junk(form: Form, place: int, junk: list[int]) -> list[int]:
    ids = form.ids()
    return [*ids[:place], *junk, *ids[place:]]
