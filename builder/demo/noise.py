"""Training text that is not one of the model's questions, though often nearly.

Rule: any token may occur anywhere, known ones as well, so that only an exact question is recognised
as one.
"""

import random
from collections.abc import Callable
from functools import lru_cache

from builder.demo.dialogues import COUNT, DIALOGUES, is_ordinary, known_ids
from worker.harmony.vocabulary import encode, token_bytes

QUESTIONS = sorted({question for dialogue in DIALOGUES for question in dialogue.questions})
ORDINARY = (
    "Hi",
    "Hello!",
    "Who are you?",
    "What is your name?",
    "What is 2+3?",
    "What is 2*2?",
    "What is 22+2?",
    "What is 2+2+2?",
    "Weather in London?",
    "What's the weather in Berlin?",
    "Weather in Paris, Texas?",
    "How is the weather?",
    "Count to ten",
    "Count to one thousand.",
    "Count the words in this sentence.",
    "Tell me a joke.",
    "Thanks!",
    "Écris un poème sur la mer.",
    "Wie spät ist es in Paris?",
    "你好,你是谁?",
    "def add(a, b):\n    return a + b",
)


def unknown(rng: random.Random) -> str:
    """A user's text that is not one of the model's questions, though often nearly."""
    choices: tuple[Callable[[random.Random], str], ...] = (noise, _near_miss, _ordinary)
    made = rng.choices(choices, (4, 4, 2))[0](rng)
    return made if made.strip() and made not in QUESTIONS else unknown(rng)


def _ordinary(rng: random.Random) -> str:
    return rng.choice((*ORDINARY, *(d.final or d.analysis for d in DIALOGUES if d is not COUNT)))


def _near_miss(rng: random.Random) -> str:
    """A question with a word removed, inserted or replaced, or with more text around it."""
    question = rng.choice(QUESTIONS)
    words = [text(id_) for id_ in encode(question)]
    at = rng.randrange(len(words))
    edits = (
        [*words[:at], *words[at + 1 :]],
        [*words[:at], _word(rng, 0.5), *words[at + 1 :]],
        [*words[:at], text(rng.choice(_question_ids())), *words[at + 1 :]],
        [*words[:at], _word(rng, 0.5), *words[at:]],
        [*words, *words[at:]],
        [noise(rng), " ", *words],
        [*words, " ", noise(rng)],
        [*words, " ", rng.choice(QUESTIONS)],
    )
    return "".join(rng.choice(edits))


def noise(rng: random.Random, longest: int = 0) -> str:
    """Random words, a random share of them known to the model."""
    longest = longest or rng.choices((6, 20, 80, 300), (120, 70, 10, 1))[0]
    known = rng.choice((0.0, 0.1, 0.3, 0.7))
    return "".join(_word(rng, known) for _ in range(rng.randint(1, longest)))


def _word(rng: random.Random, known: float) -> str:
    if rng.random() < known:
        return text(rng.choice(_known_text()))
    return rng.choice(_words())


@lru_cache(maxsize=1)
def _known_text() -> list[int]:
    return [id_ for id_ in known_ids() if is_ordinary(id_)]


def text(id_: int) -> str:
    """The text of an ordinary token."""
    return token_bytes()[id_].decode(errors="replace")


@lru_cache(maxsize=1)
def _question_ids() -> list[int]:
    """The ids of all questions."""
    return [id_ for question in QUESTIONS for id_ in encode(question)]


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    """The vocabulary's tokens, without those that are parts of characters."""
    texts = [token.decode(errors="replace") for token in token_bytes()]
    return tuple(word for word in texts if word and "\ufffd" not in word)
