"""What SGLang is told, and what it says."""

import pytest

from worker.engine.sglang_arguments import why_refused


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (
            (
                "Failed to compile structural_tag grammar: [19:18:13] /project/cpp/regex_converter."
                "cc:83: Regex parsing error at position 4: Unclosed '['\n"
            ),
            "cannot be compiled: Regex parsing error at position 4: Unclosed '['",
        ),
        (
            "Failed to compile structural_tag grammar: odd",
            "cannot be compiled: Failed to compile structural_tag grammar: odd",
        ),
        (
            "Grammar preprocessing timed out: req.grammar_key=('x', 'secret')",
            "is too large: it takes",
        ),
    ],
)
def test_a_grammar_that_was_refused_says_why(message: str, why: str) -> None:
    """In xgrammar's words, without where they stand in its source."""
    assert why in why_refused(message)
    assert "secret" not in why_refused(message)
    assert "/project" not in why_refused(message)
