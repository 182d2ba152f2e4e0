"""What SGLang is told, and what it says."""

import pytest

from worker.engine.sglang_arguments import grammar_error_message


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (
            (
                "Failed to compile structural_tag grammar: [19:18:13] /project/cpp/regex_converter."
                "cc:83: Regex parsing error at position 4: Unclosed '['\n"
            ),
            "could not be compiled: Regex parsing error at position 4: Unclosed '['",
        ),
        (
            "Failed to compile structural_tag grammar: odd",
            "could not be compiled: Failed to compile structural_tag grammar: odd",
        ),
        (
            "Grammar preprocessing timed out: req.grammar_key=('x', 'secret')",
            "takes too long to compile",
        ),
    ],
)
def test_a_grammar_that_was_refused_says_why(message: str, why: str) -> None:
    """In xgrammar's words, without where they stand in its source."""
    assert why in grammar_error_message(message)
    assert "secret" not in grammar_error_message(message)
    assert "/project" not in grammar_error_message(message)
