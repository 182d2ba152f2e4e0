"""Writes docs/settings.md from the worker's settings: `python -m builder.settings_page`.

Names, defaults and accepted values come from `Settings`; what a setting is for is said here. A
setting without a sentence here is an error (a KeyError that names it).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from worker.command import CommandParser
from worker.settings import ALTERNATIVE_NAMES, Settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

BEGIN = """# Settings

{contents}

Settings are environment variables. An empty value counts as unset. An invalid one stops the start
with one line that names the variable and what it accepts. `python -m builder.settings_page` writes
this page from [settings.py](../worker/settings.py).
"""

SECTIONS: dict[str, dict[str, str]] = {
    "Model": {
        "model": "What to serve.",
        "model_revision": "",
        "served_model_name": "The names that requests may use for the model. By default, `MODEL`.",
        "hf_token": "For private or gated models, and for higher rate limits. gpt-oss needs none.",
        "models_folder": "Where an image has its models.",
        "volume_folder": "The network volume. By default `/runpod-volume` or `/workspace`, "
        "whichever is mounted.",
        "hf_hub_cache": "Hugging Face's own. Models are downloaded there instead of to the volume.",
        "hf_home": "The same, as the folder above `hub`.",
        "hf_endpoint": "A mirror of the Hub, instead of `https://huggingface.co`.",
    },
    "Memory and speed": {
        "max_model_len": "Tokens of context; `auto` is as many as fit on the GPU.",
        "mem_fraction_static": "The part of the GPU's memory that weights and cache may use.",
        "max_running_requests": "Requests generated at the same time; others wait.",
        "max_queued_requests": "Requests that may wait. One more is a 429. By default, no limit.",
        "tensor_parallel_size": "GPUs per model; `auto` is all visible ones.",
        "cuda_visible_devices": "CUDA's own: the GPUs to use.",
        "chunked_prefill": "Whether long prompts are processed in parts, between other requests.",
        "prefill_graphs": "`few` captures CUDA graphs for nine prompt lengths instead of 50 to 58. "
        "The worker boots faster and pads prompts to the next length.",
        "direct_output": "Token IDs come straight from SGLang's scheduler. `false` sends them "
        "through its detokenizer process and tokenizer manager, at two to three times the CPU "
        "time, which SGLang's own request logs and metrics need (`log_requests` and "
        "`enable_metrics` in `ENGINE_ARGS`).",
        "speculative": "`eagle3` is speculative decoding for gpt-oss-120b with "
        "`lmsys/EAGLE3-gpt-oss-120b-bf16`, which SGLang downloads (1.7 GB). It is meant for few "
        "requests at a time; its speed was not measured here.",
        "engine_args": "Any SGLang server arguments; they win over all other settings.",
    },
    "Reasoning and responses": {
        "reasoning_effort": "For requests that do not set one.",
        "system_date": "A date to show the model. Without one, the beginning of the prompt never "
        "changes and stays cached.",
        "state_keys": "Secrets that seal the reasoning which clients carry: the first one seals, "
        "all of them open. All workers of an endpoint need the same ones.",
        "reasoning_memory_mb": "For turns with tool calls, remembered as token IDs for clients "
        "that do not send reasoning back.",
        "reasoning_in_call_ids": "How many characters the ID of a tool call may have. IDs then "
        "carry the reasoning before the call, for clients that send nothing else back. See "
        "[clients](clients.md#reasoning-in-call-ids).",
        "response_store": "Where `/v1/responses` keeps responses for `previous_response_id`, "
        "`item_reference` and `GET`. A folder on a network volume serves all workers of an "
        "endpoint.",
        "response_store_mb": "For `memory`. The least recently used responses are dropped first.",
        "response_store_hours": "How long a folder keeps a response.",
        "header_grammar": "Where tools are offered and nothing is forced, a grammar constrains the "
        "headers of messages; texts and arguments stay free. Not used with `ignore_eos` or "
        "`min_tokens`, or with thousands of tools.",
        "dyn_tool_call_parser": "RunPod's name for a choice that this worker does not have.",
        "dyn_reasoning_parser": "The same.",
    },
    "HTTP": {
        "port": "",
        "api_key": "Requests need one of these keys. Without one, anyone who reaches the port can "
        "use it.",
        "max_requests_per_key": "Requests of one key at the same time. One more is a 429.",
        "max_body_mb": "The size of one request.",
        "cors_origins": "Origins whose pages may send requests.",
        "metrics_port": "Where a queue worker serves `/metrics`, `/ping` and `/health`. By "
        "default, nowhere.",
    },
    "Operation": {
        "drain_seconds": "How long running requests may take to finish after SIGTERM. After that "
        "they fail, and can be sent again.",
        "stream_flush_ms": "The shortest time between two deliveries of a job's stream.",
        "api_docs": "Serves the API's OpenAPI document at `/openapi.json`, and a page to read it "
        "at `/docs`. Neither needs a key.",
        "log_level": "Tracebacks are logged at `debug` only.",
        "log_format": "`json` writes one JSON object per line, for log stores.",
        "otel_exporter_otlp_endpoint": "Sends an OpenTelemetry span for each request, with the "
        "`gen_ai.*` attributes, as a child of the caller's `traceparent`. The SDK's other `OTEL_*` "
        "variables work as well. The image does not have the SDK: "
        "`pip install opentelemetry-exporter-otlp-proto-http`.",
        "runpod_realtime_port": "RunPod's own.",
        "runpod_webhook_get_job": "RunPod's own. If it is set, `handler.py` is a queue worker.",
    },
}
"""What each setting is for, beyond what it accepts."""

END = """
## Other names

{other_names}

## Offline

`HF_HUB_OFFLINE=1` prevents every download. Once the model's files are there, SGLang runs with it,
unless `ENGINE_ARGS` names more models; `HF_HUB_OFFLINE=0` prevents that.
"""


def page() -> str:
    """The page as text. Raises KeyError for a setting that no section has."""
    left = set(Settings.model_fields) - set(ALTERNATIVE_NAMES)
    for section in SECTIONS.values():
        left -= set(section)
    if left:
        raise KeyError(f"SECTIONS does not say what these settings are for: {sorted(left)}")
    headings = [*SECTIONS, "Other names", "Offline"]
    links = [f"[{heading}](#{heading.lower().replace(' ', '-')})" for heading in headings]
    others = (f"`{a.upper()}` is read as `{b.upper()}`" for a, b in ALTERNATIVE_NAMES.items())
    text = BEGIN.format(contents=" · ".join(links))
    text += "".join(line for heading in SECTIONS for line in _section(heading))
    return text + END.format(other_names=" and ".join(others) + ".")


def _section(heading: str) -> Iterator[str]:
    yield f"\n## {heading}\n\n| variable | default | accepts | |\n| --- | --- | --- | --- |\n"
    for name, purpose in SECTIONS[heading].items():
        field = Settings.model_fields[name]
        names = ", ".join(f"`{each}`" for each in _names(name, field))
        yield f"| {names} | {_default(field)} | {field.description} | {purpose} |\n"


def _names(name: str, field: FieldInfo) -> list[str]:
    """The variables that are read for a field."""
    match field.validation_alias:
        case AliasChoices(choices):
            return [str(choice) for choice in choices]
        case _:
            return [name.upper()]


def _default(field: FieldInfo) -> str:
    """The default as one writes it in the environment; none is an empty cell."""
    value: Any = field.get_default(call_default_factory=True)
    for word in ("auto", "off"):
        if value is None and f"'{word}'" in (field.description or ""):
            return f"`{word}`"
    if value in (None, (), {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    CommandParser("python -m builder.settings_page", __doc__).parse_args()
    PAGE.write_text(page())
    print(f"Wrote {PAGE}.")
