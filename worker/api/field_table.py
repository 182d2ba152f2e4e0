"""Every request field that clients of OpenAI-compatible APIs send, and how it is handled.

Rule: a field is supported, is an alias, is an object whose members are treated as request fields,
has no effect on the answer, or is rejected. A rejected field is accepted with values that would not
change the answer; any other value is a 400 error. Two aliases of one field with different values
are a 400 error, too. Unknown fields are ignored and logged once. Example: `{"best_of": 1,
"max_new_tokens": 5, "user": "u"}` is read as `{"max_tokens": 5}`, and `{"mirostat": 2}` is
rejected. Validation, the OpenAPI document and docs/fields.md are derived from this table.
Sources: the API references of OpenAI, vLLM, SGLang, llama.cpp, OpenRouter, LiteLLM and Ollama.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from worker.errors import BadRequest
from worker.json_depth import Json

log = logging.getLogger(__name__)

RequestKind = Literal["chat", "text", "responses", "messages", "count_tokens"]
"""What a request asks for. Each kind has its own fields."""
Conversion = Callable[[Json], Mapping[str, Json]]
"""Converts a value to supported fields and their values. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class Supported:
    """A field of the request's model. `note` is for the tables in docs/fields.md."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for the field `of`, or a field that `convert` translates."""

    of: str
    convert: Conversion | None = None

    def resolve(self, value: Json) -> Mapping[str, Json]:
        return {self.of: value} if self.convert is None else self.convert(value)


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Accepted with any value, and ignored."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Accepted only with null and with `accepted_values`, which would not change the answer.

    Any other value is an error with `code`; `instead` tells a client that needs it what to do.
    """

    accepted_values: Sequence[Json] = ()
    instead: str = ""
    code: str = "unsupported_parameter"

    def accepts(self, value: Json) -> bool:
        return value is None or any(_same(value, each) for each in self.accepted_values)


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """An object whose members are read as fields of the request."""


Use = Supported | Alias | NoEffect | Rejected | Unwrapped


def _same(one: Json, other: Json) -> bool:
    """Whether two JSON values are equal: 1 equals 1.0, but not true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _effort_from_toggle(value: Json) -> Mapping[str, Json]:
    """A reasoning toggle: true is the default; false selects the lowest effort."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return {} if value else {"reasoning_effort": "none"}


def _thinking(value: Json) -> Mapping[str, Json]:
    """Anthropic's object, which others have adopted, or a toggle."""
    if not isinstance(value, Mapping):
        return _effort_from_toggle(value)
    if value.get("budget_tokens") is not None:
        raise ValueError(
            "budget_tokens is not supported; gpt-oss has reasoning efforts, not budgets"
        )
    if value.get("type") not in ("enabled", "adaptive", "disabled"):
        raise ValueError("must have the type enabled, adaptive or disabled")
    return _effort_from_toggle(value["type"] != "disabled")


def _think(value: Json) -> Mapping[str, Json]:
    """Ollama's field: a toggle, or an effort."""
    return {"reasoning_effort": value} if isinstance(value, str) else _effort_from_toggle(value)


def _reasoning(value: Json) -> Mapping[str, Json]:
    """The `reasoning` object of OpenRouter and the Responses API."""
    parts = dict(_object(value))
    if parts.pop("max_tokens", None) is not None:
        raise ValueError("max_tokens is not supported; gpt-oss has reasoning efforts, not budgets")
    found: dict[str, Json] = {}
    exclude = parts.pop("exclude", None)
    _set_effort(found, parts.pop("effort", None), parts.pop("enabled", None))
    if exclude is not None:
        if not isinstance(exclude, bool):
            raise ValueError("exclude must be true or false")
        found["include_reasoning"] = not exclude
    for name in parts.keys() - {"summary", "generate_summary"}:
        _warn_unknown(f"reasoning.{name}")
    return found


def _set_effort(found: dict[str, Json], effort: Json, *toggles: Json) -> None:
    """Sets the effort from an explicit effort and reasoning toggles.

    Raises ValueError if they conflict.
    """
    asked = [_effort_from_toggle(toggle) for toggle in toggles if toggle is not None]
    efforts = [each["reasoning_effort"] for each in asked if each]
    if effort is not None:
        if efforts and effort != "none":
            raise ValueError("must not disable reasoning and set an effort at the same time")
        efforts = [effort]
    if efforts:
        found["reasoning_effort"] = efforts[0]


_TEMPLATE_TOGGLES = ("enable_thinking", "thinking")
_TEMPLATE_ACCEPTED: Mapping[str, Sequence[Json]] = {
    "add_generation_prompt": (True,),
    "builtin_tools": ([],),
    "continue_final_message": (False,),
    "model_identity": (),
}
"""Arguments of gpt-oss's own chat template that this worker does not support."""


def _template_arguments(value: Json) -> Mapping[str, Json]:
    found: dict[str, Json] = {}
    arguments = dict(_object(value))
    toggles = [arguments.pop(name, None) for name in _TEMPLATE_TOGGLES]
    _set_effort(found, arguments.pop("reasoning_effort", None), *toggles)
    for name, argument in arguments.items():
        if name not in _TEMPLATE_ACCEPTED:
            _warn_unknown(f"chat_template_kwargs.{name}")
        elif not Rejected(_TEMPLATE_ACCEPTED[name]).accepts(argument):
            raise ValueError(f"{name} is not supported")
    return found


def _object(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise ValueError("must be an object")
    return value


def _json_schema(value: Json) -> Json:
    """A schema, given as an object or as JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("must be a JSON schema, as an object or as JSON text") from None
    return dict(_object(value))


def _text(value: Json) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a non-empty string")
    return value


def _choices(value: Json) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise ValueError("must be a non-empty array of strings")
    return value


def _json_object(value: Json) -> bool:
    if value is not True:
        raise ValueError("must be true")
    return value


_OUTPUT_KINDS: Mapping[str, Callable[[Json], Json]] = {
    "json": _json_schema,
    "json_object": _json_object,
    "regex": _text,
    "choice": _choices,
    "grammar": _text,
}
"""The kinds of structured output, each with its validator."""
_OUTPUT_ACCEPTED: Mapping[str, Sequence[Json]] = {
    "json_object": (False,),
    "disable_fallback": (True, False),
    "disable_any_whitespace": (False,),
    "disable_additional_properties": (False,),
    "whitespace_pattern": (),
    "structural_tag": (),
}


def _structured(value: Json) -> Mapping[str, Json]:
    """vLLM's object, reduced to exactly one kind. OpenRouter's boolean asks for no kind."""
    if isinstance(value, bool):
        return {}
    kinds: dict[str, Json] = {}
    for name, part in _object(value).items():
        if Rejected(_OUTPUT_ACCEPTED.get(name, ())).accepts(part):
            continue
        if name in _OUTPUT_KINDS:
            kinds[name] = _OUTPUT_KINDS[name](part)
        elif name in _OUTPUT_ACCEPTED:
            raise ValueError(f"{name} is not supported")
        else:
            _warn_unknown(f"structured_outputs.{name}")
    if len(kinds) != 1:
        raise ValueError(f"must have exactly one of {', '.join(_OUTPUT_KINDS)}")
    return {"structured_outputs": kinds}


def _output_kind(kind: str) -> Alias:
    """A separate field for one kind of structured output; an empty string means none."""
    read = _OUTPUT_KINDS[kind]

    def convert(value: Json) -> Mapping[str, Json]:
        return {} if value == "" else {"structured_outputs": {kind: read(value)}}

    return Alias("structured_outputs", convert)


_EMPTY: Sequence[Json] = (False, "", [], {})
"""Values that clients send for an unused field."""


_STRUCTURED = {
    "structured_outputs": Alias("structured_outputs", _structured),
    "guided_decoding": Alias("structured_outputs", _structured),
    "guided_json": _output_kind("json"),
    "guided_regex": _output_kind("regex"),
    "guided_choice": _output_kind("choice"),
    "guided_grammar": _output_kind("grammar"),
    "regex": _output_kind("regex"),
    "ebnf": _output_kind("grammar"),
    "grammar": _output_kind("grammar"),
    "json_schema": _output_kind("json"),
}

_SHARED: dict[str, Use] = {
    # Sampling
    **dict.fromkeys(
        ("model", "stream", "stream_options", "n", "stop", "temperature", "min_p"), Supported()
    ),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "logit_bias"), Supported()),
    "top_p": Supported("0 means greedy"),
    "top_k": Supported("-1, 0 and the vocabulary size disable it"),
    "repetition_penalty": Supported("at least 0.01"),
    "seed": Supported(
        "-1 means none; requires temperature 0 or the engine's `enable_deterministic_inference`"
    ),
    "max_tokens": Supported("-1 means as many as fit"),
    "min_tokens": Supported("stop tokens are not sampled before; not with a grammar"),
    "stop_token_ids": Supported("not shown, like stop strings; in chats, only ordinary tokens"),
    "ignore_eos": Supported("generates `max_tokens` tokens, in chats with further messages"),
    "bad_words": Supported("only single-token words"),
    "max_completion_tokens": Alias("max_tokens"),
    "max_new_tokens": Alias("max_tokens"),
    "max_output_tokens": Alias("max_tokens"),
    "n_predict": Alias("max_tokens"),
    "num_predict": Alias("max_tokens"),
    "repeat_penalty": Alias("repetition_penalty"),
    "min_new_tokens": Alias("min_tokens"),
    "num_return_sequences": Alias("n"),
    "sampling_seed": Alias("seed"),
    "usage": Supported("`include` is the same as `stream_options.include_usage`"),
    "extra_body": Unwrapped(),
    # About the caller, delivery or caching, or only used with a rejected field
    **dict.fromkeys(
        [
            "user",
            "metadata",
            "store",
            "service_tier",
            "safety_identifier",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "prediction",
            "rid",
            "request_id",
            "session_id",
            "priority",
            "cache_salt",
            "extra_key",
            "data_parallel_rank",
            "routed_dp_rank",
            "disagg_prefill_dp_rank",
            "custom_labels",
            "mm_processor_kwargs",
            "images_config",
            "video_config",
            "max_dynamic_patch",
            "min_dynamic_patch",
            "use_audio_in_video",
            "return_flat_raw_top_logprobs_b64",
            "guided_decoding_backend",
            "max_batch_size",
            "min_batch_size",
            "batch_size_growth_factor",
            "use_openai_format",
            "cache_prompt",
            "id_slot",
            "slot_id",
            "n_keep",
            "n_discard",
            "mirostat_tau",
            "mirostat_eta",
            "dry_base",
            "dry_allowed_length",
            "dry_penalty_last_n",
            "dry_sequence_breakers",
            "xtc_threshold",
            "dynatemp_exponent",
            "provider",
            "models",
            "route",
            "trace",
            "timeout",
            "truncation_side",
            "stream_interval",
            "extra_headers",
            "extra_query",
            "num_retries",
            "max_retries",
            "fallbacks",
            "caching",
            "tags",
            "drop_params",
            "litellm_call_id",
            "litellm_metadata",
            "keep_alive",
        ],
        NoEffect(),
    ),
    # Would change the answer
    **dict.fromkeys(
        [
            "custom_logit_processor",
            "lora_path",
            "session_params",
            "stop_regex",
            "structural_tag",
            "moderation",
            "watermark",
            "task",
            "prompt_logprobs",
            "truncate_prompt_tokens",
            "truncate",
            "prompt_embeds",
            "kv_transfer_params",
            "logprob_token_ids",
            "repetition_detection",
            "sampling_logprobs_mode",
            "guided_whitespace_pattern",
            "chat_template",
            "template",
            "tool_prompt",
            "guideline",
            "system",
            "instructions",
            "input",
            "negative_prompt",
            "adapter_id",
            "bad_words_ids",
            "custom_token_bans",
        ],
        Rejected(_EMPTY),
    ),
    **dict.fromkeys(
        [
            "input_ids",
            "bootstrap_host",
            "bootstrap_port",
            "bootstrap_room",
            "web_search_options",
            "audio",
            "max_length",
        ],
        Rejected(),
    ),
    **dict.fromkeys(
        [
            "thinking_token_budget",
            "thinking_budget",
            "thinking_budget_tokens",
            "reasoning_budget",
            "reasoning_budget_tokens",
            "max_thinking_tokens",
        ],
        Rejected((-1,)),
    ),
    **dict.fromkeys(
        [
            "return_hidden_states",
            "return_routed_experts",
            "return_cached_tokens_details",
            "return_spec_tokens_details",
            "return_prompt_token_ids",
            "return_token_ids",
            "return_meta_info",
            "return_input_ids_in_sglext",
            "return_output_ids_in_sglext",
            "return_sampling_mask",
            "return_flat_raw_output_top_logprobs",
            "return_tokens_as_token_ids",
            "no_stop_trim",
            "use_beam_search",
            "early_stopping",
            "include_stop_str_in_output",
            "ignore_stop",
            "continue_final_message",
            "return_tokens",
            "return_progress",
            "timings_per_token",
            "post_sampling_probs",
            "penalize_nl",
            "raw",
            "return_full_text",
            "details",
            "decoder_input_details",
            "ban_eos_token",
            "renormalize_logits",
        ],
        Rejected((False,)),
    ),
    **dict.fromkeys(
        [
            "skip_special_tokens",
            "spaces_between_special_tokens",
            "detokenize",
            "do_sample",
            "parse_tool_calls",
        ],
        Rejected((True,)),
    ),
    **dict.fromkeys(
        [
            "routed_experts_start_len",
            "mirostat",
            "mirostat_mode",
            "dry_multiplier",
            "xtc_probability",
            "dynatemp_range",
            "top_a",
            "epsilon_cutoff",
            "eta_cutoff",
            "smoothing_factor",
            "n_indent",
            "n_probs",
            "no_repeat_ngram_size",
            "encoder_no_repeat_ngram_size",
            "penalty_alpha",
            "diversity_penalty",
            "min_length",
            "top_n_tokens",
        ],
        Rejected((0,)),
    ),
    **dict.fromkeys(
        [
            "typical_p",
            "typical",
            "tfs_z",
            "length_penalty",
            "num_beams",
            "num_beam_groups",
            "beam_width",
            "encoder_repetition_penalty",
            "guidance_scale",
            "cfg_scale",
        ],
        Rejected((1,)),
    ),
    **dict.fromkeys(("custom_params", "options", "vllm_xargs", "extra_args"), Rejected(({},))),
    **dict.fromkeys(
        [
            "logits_processors",
            "lora",
            "transforms",
            "plugins",
            "images",
            "documents",
            "context",
            "samplers",
            "response_fields",
        ],
        Rejected(([],)),
    ),
    "top_n_sigma": Rejected((-1, 0)),
    "repeat_last_n": Rejected((-1, 64)),
    "min_keep": Rejected((0,)),
    "t_max_predict_ms": Rejected((0, -1)),
    "format": Rejected(("",)),
}

_CHAT: dict[str, Use] = {
    **dict.fromkeys(("messages", "tools", "logprobs", "top_logprobs"), Supported()),
    "parallel_tool_calls": Supported("false ends the answer before a second call"),
    "tool_choice": Supported("auto, none, required, a function, `allowed_tools`"),
    "response_format": Supported("text, json_object (also with a `schema`), json_schema"),
    "reasoning_effort": Supported(),
    "include_reasoning": Supported("false hides the reasoning, which is still generated"),
    "reasoning": Alias("reasoning_effort", _reasoning),
    "chat_template_kwargs": Alias("reasoning_effort", _template_arguments),
    "enable_thinking": Alias("reasoning_effort", _effort_from_toggle),
    "think": Alias("reasoning_effort", _think),
    **_STRUCTURED,
    "thinking": Alias("reasoning_effort", _thinking),
    "separate_reasoning": Rejected((True,)),
    "stream_reasoning": Rejected((True,)),
    "reasoning_format": Rejected(("auto", "deepseek")),
    "add_generation_prompt": Rejected((True,)),
    "add_special_tokens": Rejected((False,)),
    "apply_chat_template": Rejected((True, False)),
    "best_of": Rejected((1,)),
    "echo": Rejected((False,)),
    "function_call": Rejected(("none", "auto")),
    "functions": Rejected(([],)),
    "modalities": Rejected((["text"],)),
    "verbosity": Rejected(("medium",)),
    "allowed_token_ids": Rejected(),
    "prompt": Rejected(),
    "suffix": Rejected(("",)),
}

_TEXT: dict[str, Use] = {
    "prompt": Supported("a string, token IDs, or an array of either"),
    "echo": Supported("without `logprobs`"),
    "logprobs": Supported(),
    "best_of": Supported("only if equal to `n`"),
    "allowed_token_ids": Supported(),
    **dict.fromkeys(("messages", "reasoning_effort", "reasoning"), Rejected()),
    **dict.fromkeys(("enable_thinking", "think"), Rejected((False,))),
    "thinking": Rejected((False, {"type": "disabled"})),
    # Text completions have no reasoning
    **dict.fromkeys(
        ("include_reasoning", "separate_reasoning", "stream_reasoning", "reasoning_format"),
        NoEffect(),
    ),
    "top_logprobs": Rejected((0,)),
    "function_call": Rejected(("none", "auto")),
    "functions": Rejected(([],)),
    **dict.fromkeys(_STRUCTURED, Rejected(("",))),
    "structured_outputs": Rejected((False, True)),
    "parallel_tool_calls": Rejected((True, False)),
    "tools": Rejected(([],)),
    "tool_choice": Rejected(("none", "auto")),
    "response_format": Rejected(({"type": "text"},)),
    "chat_template_kwargs": Rejected(({},)),
    "add_generation_prompt": Rejected((True, False)),
    "add_special_tokens": Rejected((True, False)),
    "apply_chat_template": Rejected((False,)),
    "modalities": Rejected((["text"],)),
    "verbosity": Rejected(("medium",)),
    "suffix": Rejected(("",)),
}


def _is_called(name: str, accepted: Sequence[Json] = ()) -> Rejected:
    """A field of chat completions that has another name in /v1/responses."""
    return Rejected(accepted, f"in /v1/responses this is `{name}`")


_RESPONSES: dict[str, Use] = {
    "input": Supported("a string, or items"),
    "instructions": Supported("before every other instruction"),
    "tools": Supported("functions, namespaces of them, and custom tools"),
    "tool_choice": Supported("auto, none, required, a function or custom tool, `allowed_tools`"),
    "parallel_tool_calls": Supported("false ends the answer before a second call"),
    "reasoning": Supported("`effort`; a `summary` stays empty"),
    "text": Supported("`format`: text, json_object, json_schema"),
    "max_output_tokens": Supported("-1 means as many as fit"),
    **{
        name: Alias("max_output_tokens")
        for name, use in _SHARED.items()
        if use == Alias("max_tokens") and name != "max_output_tokens"
    },
    "top_logprobs": Supported(),
    "include": Supported("`message.output_text.logprobs`; encrypted reasoning is always included"),
    "store": Supported("see `RESPONSE_STORE`"),
    "previous_response_id": Supported("of a stored response"),
    "truncation": Supported("never drops anything: a longer input is an error"),
    "ignore_eos": Supported("generates `max_output_tokens` tokens, with further messages"),
    **dict.fromkeys(
        ("metadata", "user", "safety_identifier", "prompt_cache_key", "max_tool_calls"),
        Supported("returned as it came, otherwise ignored"),
    ),
    "prompt_cache_options": Supported("ignored, but `prewarm` must not be true"),
    **dict.fromkeys(
        ("client_metadata", "stream_options", "usage", "access_programs", "service_tier"),
        NoEffect(),
    ),
    # Usual mistakes
    "messages": _is_called("input"),
    "prompt": Rejected(instead="there are no stored prompts; send `instructions` and `input`"),
    "max_tokens": _is_called("max_output_tokens"),
    "max_completion_tokens": _is_called("max_output_tokens"),
    "n": Rejected((1,)),
    "num_return_sequences": Rejected((1,)),
    "response_format": _is_called("text.format", ({"type": "text"},)),
    "reasoning_effort": _is_called("reasoning.effort"),
    "verbosity": _is_called("text.verbosity", ("medium",)),
    "logprobs": Rejected((False,), "send `include` with `message.output_text.logprobs`"),
    "functions": _is_called("tools", ([],)),
    "function_call": _is_called("tool_choice", ("none", "auto")),
    **dict.fromkeys(_STRUCTURED, Rejected(("",), "send a JSON schema in `text.format`")),
    "structured_outputs": Rejected((False, True), "send a JSON schema in `text.format`"),
    # OpenAI's own infrastructure
    "background": Rejected(
        (False,),
        "for work that outlives a connection send the job to RunPod's /run and poll its /status",
    ),
    "background_options": Rejected(),
    "conversation": Rejected(
        instead="send the earlier items in `input`, or `previous_response_id`"
    ),
    "context_management": Rejected(([],), "send fewer items in `input`"),
    "moderation": Rejected(),
    "image": Rejected(instead="gpt-oss reads text only"),
    # Of other servers
    "include_reasoning": Rejected((True,)),
    "separate_reasoning": Rejected((True,)),
    "stream_reasoning": Rejected((True,)),
    "reasoning_format": Rejected(("auto", "deepseek")),
    **dict.fromkeys(("enable_thinking", "think"), Rejected((True,), "send `reasoning.effort`")),
    "thinking": Rejected((True, {"type": "enabled"}), "send `reasoning.effort`"),
    "chat_template_kwargs": Rejected(({},)),
    "add_generation_prompt": Rejected((True,)),
    "add_special_tokens": Rejected((False,)),
    "apply_chat_template": Rejected((True, False)),
    "best_of": Rejected((1,)),
    "echo": Rejected((False,)),
    "modalities": Rejected((["text"],)),
    "allowed_token_ids": Rejected(),
    "suffix": Rejected(("",)),
}

_PROMPT_OF_MESSAGES: dict[str, Use] = {
    "model": Supported(),
    "messages": Supported("the last one must be the user's"),
    "system": Supported("a block of `x-anthropic-billing-header` is left out"),
    "tools": Supported("custom ones, also with `defer_loading`"),
    "tool_choice": Supported("auto, any, tool, none; `disable_parallel_tool_use`"),
    "thinking": Supported("`disabled`: low effort, not shown; `budget_tokens` has no effect"),
    "output_config": Supported("`effort` and `format`"),
    "context_management": Supported("`clear_thinking` alone, which is what happens anyway"),
    "thread": Rejected(code="thread_unsupported_request"),
    **dict.fromkeys(("container", "compaction", "output_format"), Rejected()),
    "mcp_servers": Rejected(([],)),
    **dict.fromkeys(
        [
            "metadata",
            "cache_control",
            "service_tier",
            "speed",
            "inference_geo",
            "diagnostics",
            "user_profile_id",
            "workspace_id",
            "betas",
            "anthropic_beta",
            "anthropic_version",
            "billing_policy",
            "fallback_credit_token",
            "fallbacks",
        ],
        NoEffect(),
    ),
}
_HOW_TO_ANSWER: dict[str, Use] = {
    "max_tokens": Supported("more than fits is cut"),
    **dict.fromkeys(("stream", "stop_sequences", "temperature", "top_k"), Supported()),
    "top_p": Supported("0 is greedy"),
}

FIELDS: Mapping[RequestKind, Mapping[str, Use]] = {
    "chat": _SHARED | _CHAT,
    "text": _SHARED | _TEXT,
    "responses": _SHARED | _RESPONSES,
    "messages": _PROMPT_OF_MESSAGES | _HOW_TO_ANSWER,
    "count_tokens": _PROMPT_OF_MESSAGES | dict.fromkeys(_HOW_TO_ANSWER, NoEffect()),
}
"""The table."""


@dataclass(frozen=True, slots=True)
class ResolvedFields:
    """A request's `fields` by their supported names; `names` has the name that the client used."""

    fields: Mapping[str, Json]
    names: Mapping[str, str]


def resolve(kind: RequestKind, body: Mapping[str, Json]) -> ResolvedFields:
    """Resolves the fields of a request to supported ones. Raises BadRequest.

    Example: `{"max_new_tokens": 5, "user": "u"}` becomes `{"max_tokens": 5}`.
    """
    table = FIELDS[kind]
    fields: dict[str, Json] = {}
    names: dict[str, str] = {}
    for name, value in _unwrapped(body, table):
        for key, resolved in _resolve_field(table.get(name), name, value).items():
            if resolved is None or (key in fields and _same(fields[key], resolved)):
                continue
            if key in fields:
                raise BadRequest(
                    f"{names[key]} and {name} have conflicting values; send only one of them.",
                    param=name,
                )
            fields[key], names[key] = resolved, name
    return ResolvedFields(fields, names)


def _unwrapped(body: Mapping[str, Json], table: Mapping[str, Use]) -> Iterator[tuple[str, Json]]:
    """Yields the fields of a request, including the members of `Unwrapped` objects."""
    for name, value in body.items():
        if not isinstance(table.get(name), Unwrapped):
            yield name, value
        elif isinstance(value, Mapping):
            yield from value.items()
        elif value is not None:
            raise BadRequest(f"{name} must be an object.", param=name)


def _resolve_field(use: Use | None, name: str, value: Json) -> Mapping[str, Json]:
    match use:
        case None:
            _warn_unknown(name)
        case Supported():
            return {name: value}
        case Alias() if value is not None:
            try:
                return use.resolve(value)
            except ValueError as error:
                raise BadRequest(f"{describe(name, str(error))}.", param=name) from None
        case Rejected() if not use.accepts(value):
            remedy = f"omit it or send {_alternatives(use)}" if use.accepted_values else "omit it"
            remedy = use.instead or remedy
            raise BadRequest(f"{name} is not supported; {remedy}.", param=name, code=use.code)
        case _:
            pass
    return {}


def describe(name: str, problem: str) -> str:
    """An error message without a full stop: `name must …`, or `name: …`."""
    return f"{name} {problem}" if problem.startswith(("must ", "is ")) else f"{name}: {problem}"


def _alternatives(use: Rejected) -> str:
    return " or ".join(json.dumps(value) for value in use.accepted_values)


def given_fields(kind: RequestKind, body: Mapping[str, Json]) -> set[str]:
    """The supported names of the fields that a request sets."""
    opened = [name for name in body if isinstance(FIELDS[kind].get(name), Unwrapped)]
    inner = [body[name].keys() for name in opened if isinstance(body[name], Mapping)]
    return {canonical(kind, name) for name in body.keys() | set().union(*inner)}


def canonical(kind: RequestKind, name: str) -> str:
    """The supported name of the field `name`."""
    use = FIELDS[kind].get(name)
    return use.of if isinstance(use, Alias) else name


def _warn_unknown(name: str) -> None:
    _warn_once(name[:80])


@lru_cache(maxsize=1024)
def _warn_once(name: str) -> None:
    """Logs each name once (again only after a thousand other names)."""
    log.warning("ignored an unknown request field: %r", name)
