"""OpenAI's Python client as a judge: reads streams of the Responses API, one list of events a line.

Each event is validated by the client's types and fed to its stream helper, which raises if events
come in a wrong order or an identity changes. Prints the responses that the streams end in, as the
helper returns them, without what is null.
"""

import json
import sys

from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

EVENT: TypeAdapter = TypeAdapter(ResponseStreamEvent)


def judge(events: list[dict]) -> dict:
    helper = ResponseStreamState(input_tools=omit, text_format=omit)
    handled = [
        made for event in events for made in helper.handle_event(EVENT.validate_python(event))
    ]
    Response.model_validate(events[-1]["response"])
    return handled[-1].response.to_dict(exclude_none=True)


print(json.dumps([judge(json.loads(line)) for line in sys.stdin]))
