"""schemathesis against the running API with a real engine: by its document, and against it.

Rule: requests are made from openapi.json, good and bad ones. Only how much is generated is
capped: a client that asks for a hundred thousand tokens gets them.
"""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks

from builder.openapi.document import PLACE
from tests.support.serving import BEARER, Serving
from worker.api.field_table import RequestKind, canonical

pytestmark = pytest.mark.slow

load_all_checks()
SCHEMA = schemathesis.openapi.from_path(PLACE)
LOOSE: list[Any] = [
    CHECKS.get_one(name)
    for name in (
        "negative_data_rejection",  # fields that OpenAI may add are let pass, whatever they hold
        "positive_data_acceptance",  # what JSON Schema cannot say is refused: 400
        "ignored_auth",  # it does not take out the header given here; test_http_safety does
    )
]


def capped(case: "schemathesis.Case[Any]") -> Any:
    """The case's body, for which a few tokens of a few choices will do; what is no number stays.

    Capped here and not by a hook, as schemathesis's deterministic cases pass by those.
    """
    body = case.body
    if not isinstance(body, dict):
        return body
    route: RequestKind = "responses" if "/responses" in case.operation.path else "chat"
    limit = "max_output_tokens" if route == "responses" else "max_tokens"
    extra = body.get("extra_body")
    capped = {
        name: _capped(canonical(route, name), value, limit)
        for name, value in body.items()
        if name != "extra_body" or not isinstance(extra, dict)  # it may hold a limit, too
    }
    names = [name for name in capped if canonical(route, name) == limit]
    return capped if any(capped[name] is not None for name in names) else capped | {limit: 4}


def _capped(field: str, value: Any, limit: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if field in ("n", "best_of"):
        return min(value, 4) if value <= 128 else value
    return 4 if field == limit and (value > 4 or value == -1) else value


@pytest.mark.timeout(1200)
@SCHEMA.parametrize()  # pyright: ignore[reportUntypedFunctionDecorator]
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_no_request_is_too_odd(case: "schemathesis.Case[Any]", serving: Serving) -> None:
    """No 5xx; each answer has a status, headers and a body that the document describes."""
    case.body = capped(case)
    case.call_and_validate(
        base_url=serving.url, headers=dict(BEARER), excluded_checks=LOOSE, timeout=60
    )


def test_afterwards_it_answers_and_has_logged_no_failure(serving: Serving) -> None:
    """As if nothing had been."""
    body = {"messages": [{"role": "user", "content": "What is 2+2?"}]}
    assert serving.client.post("/v1/chat/completions", json=body).status_code == 200
    assert "Traceback" not in serving.log.read_text()
