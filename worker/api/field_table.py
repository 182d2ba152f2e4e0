"""Every request field that clients of OpenAI's API and of its kin send, and what becomes of it.

Rule: a field works, stands for others (an alias, or an object that holds them), has no effect on
the answer, or is refused by its name. A value that asks for what happens anyway is accepted; one
that would change the answer and cannot be heeded is a 400; a name that is not here is ignored, with
one line in the log.
Example: `{"best_of": 1, "max_new_tokens": 5, "user": "u"}` is read as `{"max_tokens": 5}`, and
`{"mirostat": 2}` is refused. The validation, the OpenAPI document and README's table come of it.
Two fields that stand for one and say different things are a 400, too.
Sources: the references of OpenAI, vLLM, SGLang, llama.cpp, OpenRouter, LiteLLM and Ollama.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from worker.errors import BadRequest

log = logging.getLogger(__name__)

Json = Any  # A JSON value from outside.
Route = Literal["chat", "text"]
Meaning = Callable[[Json], Mapping[str, Json]]
"""What a value stands for, under the names of fields that work. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class Works:
    """Read by the request's model."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Alias:
    """Stands for the field `of`, or for what `meaning` makes of its value."""

    of: str
    meaning: Meaning | None = None

    def means(self, value: Json) -> Mapping[str, Json]:
        return {self.of: value} if self.meaning is None else self.meaning(value)


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Accepted, whatever its value."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Accepted only with null and the values that ask for `nothing`."""

    nothing: Sequence[Json] = ()

    def accepts(self, value: Json) -> bool:
        return value is None or any(_same(value, each) for each in self.nothing)


@dataclass(frozen=True, slots=True)
class Opened:
    """An object whose members are read as if they stood beside it."""


Use = Works | Alias | NoEffect | Refused | Opened


def _same(one: Json, other: Json) -> bool:
    """Whether two JSON values are the same: 1 is 1.0, but not true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _effort_of_switch(value: Json) -> Mapping[str, Json]:
    """A switch of the reasoning: on is what happens anyway, off the least that gpt-oss can."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return {} if value else {"reasoning_effort": "none"}


def _thinking(value: Json) -> Mapping[str, Json]:
    """Anthropic's object, which others took over, or a switch."""
    if not isinstance(value, Mapping):
        return _effort_of_switch(value)
    if value.get("budget_tokens") is not None:
        raise ValueError("budget_tokens is not supported: gpt-oss knows efforts, not budgets")
    if value.get("type") not in ("enabled", "adaptive", "disabled"):
        raise ValueError("takes the type enabled, adaptive or disabled")
    return _effort_of_switch(value["type"] != "disabled")


def _think(value: Json) -> Mapping[str, Json]:
    """Ollama's: a switch, or an effort."""
    return {"reasoning_effort": value} if isinstance(value, str) else _effort_of_switch(value)


def _reasoning(value: Json) -> Mapping[str, Json]:
    """OpenRouter's and the Responses API's object."""
    parts = dict(_object(value))
    if parts.pop("max_tokens", None) is not None:
        raise ValueError("max_tokens is not supported: gpt-oss knows efforts, not budgets")
    found: dict[str, Json] = {}
    exclude = parts.pop("exclude", None)
    _set_effort(found, parts.pop("effort", None), parts.pop("enabled", None))
    if exclude is not None:
        if not isinstance(exclude, bool):
            raise ValueError("exclude must be true or false")
        found["include_reasoning"] = not exclude
    for name in parts.keys() - {"summary", "generate_summary"}:
        _note_unknown(f"reasoning.{name}")
    return found


def _set_effort(found: dict[str, Json], effort: Json, *switches: Json) -> None:
    """The one effort that an effort and switches of the reasoning ask for."""
    asked = [_effort_of_switch(switch) for switch in switches if switch is not None]
    efforts = [each["reasoning_effort"] for each in asked if each]
    if effort is not None:
        if efforts and effort != "none":
            raise ValueError("reasoning is switched off and given an effort")
        efforts = [effort]
    if efforts:
        found["reasoning_effort"] = efforts[0]


_TEMPLATE_SWITCHES = ("enable_thinking", "thinking")
_TEMPLATE_NOTHING: Mapping[str, Sequence[Json]] = {
    "add_generation_prompt": (True,),
    "builtin_tools": ([],),
    "continue_final_message": (False,),
    "model_identity": (),
}
"""What gpt-oss's own template reads and this worker does not take from there."""


def _template_arguments(value: Json) -> Mapping[str, Json]:
    found: dict[str, Json] = {}
    arguments = dict(_object(value))
    switches = [arguments.pop(name, None) for name in _TEMPLATE_SWITCHES]
    _set_effort(found, arguments.pop("reasoning_effort", None), *switches)
    for name, argument in arguments.items():
        if name not in _TEMPLATE_NOTHING:
            _note_unknown(f"chat_template_kwargs.{name}")
        elif not Refused(_TEMPLATE_NOTHING[name]).accepts(argument):
            raise ValueError(f"{name} is not supported")
    return found


def _object(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise ValueError("must be an object")
    return value


def _json_schema(value: Json) -> Json:
    """A schema as an object, or as the text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("must be a JSON schema, or the text of one") from None
    return dict(_object(value))


def _text(value: Json) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a string that is not empty")
    return value


def _choices(value: Json) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise ValueError("must be an array of strings that is not empty")
    return value


def _any_object(value: Json) -> bool:
    if value is not True:
        raise ValueError("must be true")
    return value


_OUTPUTS: Mapping[str, Callable[[Json], Json]] = {
    "json": _json_schema,
    "json_object": _any_object,
    "regex": _text,
    "choice": _choices,
    "grammar": _text,
}
"""The kinds of structured output, and how each is read."""
_OUTPUT_NOTHING: Mapping[str, Sequence[Json]] = {
    "json_object": (False,),
    "disable_fallback": (True, False),
    "disable_any_whitespace": (False,),
    "disable_additional_properties": (False,),
    "whitespace_pattern": (),
    "structural_tag": (),
}


def _structured(value: Json) -> Mapping[str, Json]:
    """vLLM's object; exactly one kind is left of it. OpenRouter's switch asks for no kind."""
    if isinstance(value, bool):
        return {}
    kinds: dict[str, Json] = {}
    for name, part in _object(value).items():
        if Refused(_OUTPUT_NOTHING.get(name, ())).accepts(part):
            continue
        if name in _OUTPUTS:
            kinds[name] = _OUTPUTS[name](part)
        elif name in _OUTPUT_NOTHING:
            raise ValueError(f"{name} is not supported")
        else:
            _note_unknown(f"structured_outputs.{name}")
    if len(kinds) != 1:
        raise ValueError(f"takes exactly one of {', '.join(_OUTPUTS)}")
    return {"structured_outputs": kinds}


def _output(kind: str) -> Alias:
    """A field of its own for one kind of structured output; an empty text is none."""
    read = _OUTPUTS[kind]

    def meaning(value: Json) -> Mapping[str, Json]:
        return {} if value == "" else {"structured_outputs": {kind: read(value)}}

    return Alias("structured_outputs", meaning)


_EMPTY: Sequence[Json] = (False, "", [], {})
"""What clients send where a field that says what to do is left empty."""


_STRUCTURED = {
    "structured_outputs": Alias("structured_outputs", _structured),
    "guided_decoding": Alias("structured_outputs", _structured),
    "guided_json": _output("json"),
    "guided_regex": _output("regex"),
    "guided_choice": _output("choice"),
    "guided_grammar": _output("grammar"),
    "regex": _output("regex"),
    "ebnf": _output("grammar"),
    "grammar": _output("grammar"),
    "json_schema": _output("json"),
}

_SHARED: dict[str, Use] = {
    # How to generate
    **dict.fromkeys(
        ("model", "stream", "stream_options", "n", "stop", "temperature", "min_p"), Works()
    ),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "logit_bias"), Works()),
    "top_p": Works("0 is greedy"),
    "top_k": Works("-1, 0 and the size of the vocabulary are off"),
    "repetition_penalty": Works("from 0.01"),
    "seed": Works(
        "-1 is none; at temperature 0, or where the engine has `enable_deterministic_inference`"
    ),
    "max_tokens": Works("-1 is as many as fit"),
    "min_tokens": Works("what ends the answer is not chosen before; not with a grammar"),
    "stop_token_ids": Works("not shown, as a stop string; a chat takes ordinary ids"),
    "ignore_eos": Works("the engine runs on to `max_tokens`, in a chat into further messages"),
    "bad_words": Works("words that are one token"),
    "max_completion_tokens": Alias("max_tokens"),
    "max_new_tokens": Alias("max_tokens"),
    "max_output_tokens": Alias("max_tokens"),
    "n_predict": Alias("max_tokens"),
    "num_predict": Alias("max_tokens"),
    "repeat_penalty": Alias("repetition_penalty"),
    "min_new_tokens": Alias("min_tokens"),
    "num_return_sequences": Alias("n"),
    "sampling_seed": Alias("seed"),
    "usage": Works("`include`: as `stream_options.include_usage`"),
    "extra_body": Opened(),
    # What says something of the caller, of delivery or of a cache, or needs what is refused
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
    # What would change the answer
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
        Refused(_EMPTY),
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
        Refused(),
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
        Refused((-1,)),
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
        Refused((False,)),
    ),
    **dict.fromkeys(
        [
            "skip_special_tokens",
            "spaces_between_special_tokens",
            "detokenize",
            "do_sample",
            "parse_tool_calls",
        ],
        Refused((True,)),
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
        Refused((0,)),
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
        Refused((1,)),
    ),
    **dict.fromkeys(("custom_params", "options", "vllm_xargs", "extra_args"), Refused(({},))),
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
        Refused(([],)),
    ),
    "top_n_sigma": Refused((-1, 0)),
    "repeat_last_n": Refused((-1, 64)),
    "min_keep": Refused((0,)),
    "t_max_predict_ms": Refused((0, -1)),
    "format": Refused(("",)),
}

_CHAT: dict[str, Use] = {
    **dict.fromkeys(("messages", "tools", "logprobs", "top_logprobs"), Works()),
    "parallel_tool_calls": Works("false: the answer ends before a second call"),
    "tool_choice": Works("auto, none, required, a function, `allowed_tools`"),
    "response_format": Works("text, json_object (also with a `schema`), json_schema"),
    "reasoning_effort": Works(),
    "include_reasoning": Works("false: the reasoning is made, and not shown"),
    "reasoning": Alias("reasoning_effort", _reasoning),
    "chat_template_kwargs": Alias("reasoning_effort", _template_arguments),
    "enable_thinking": Alias("reasoning_effort", _effort_of_switch),
    "think": Alias("reasoning_effort", _think),
    **_STRUCTURED,
    "thinking": Alias("reasoning_effort", _thinking),
    "separate_reasoning": Refused((True,)),
    "stream_reasoning": Refused((True,)),
    "reasoning_format": Refused(("auto", "deepseek")),
    "add_generation_prompt": Refused((True,)),
    "add_special_tokens": Refused((False,)),
    "apply_chat_template": Refused((True, False)),
    "best_of": Refused((1,)),
    "echo": Refused((False,)),
    "function_call": Refused(("none", "auto")),
    "functions": Refused(([],)),
    "modalities": Refused((["text"],)),
    "verbosity": Refused(("medium",)),
    "allowed_token_ids": Refused(),
    "prompt": Refused(),
    "suffix": Refused(("",)),
}

_TEXT: dict[str, Use] = {
    "prompt": Works("a text, token ids, or a list of either"),
    "echo": Works("without `logprobs`"),
    "logprobs": Works(),
    "best_of": Works("the same as `n`"),
    "allowed_token_ids": Works(),
    **dict.fromkeys(("messages", "reasoning_effort", "reasoning"), Refused()),
    **dict.fromkeys(("enable_thinking", "think"), Refused((False,))),
    "thinking": Refused((False, {"type": "disabled"})),
    # There is no reasoning that it could be about
    **dict.fromkeys(
        ("include_reasoning", "separate_reasoning", "stream_reasoning", "reasoning_format"),
        NoEffect(),
    ),
    "top_logprobs": Refused((0,)),
    "function_call": Refused(("none", "auto")),
    "functions": Refused(([],)),
    **dict.fromkeys(_STRUCTURED, Refused(("",))),
    "structured_outputs": Refused((False, True)),
    "parallel_tool_calls": Refused((True, False)),
    "tools": Refused(([],)),
    "tool_choice": Refused(("none", "auto")),
    "response_format": Refused(({"type": "text"},)),
    "chat_template_kwargs": Refused(({},)),
    "add_generation_prompt": Refused((True, False)),
    "add_special_tokens": Refused((True, False)),
    "apply_chat_template": Refused((False,)),
    "modalities": Refused((["text"],)),
    "verbosity": Refused(("medium",)),
    "suffix": Refused(("",)),
}

FIELDS: Mapping[Route, Mapping[str, Use]] = {"chat": _SHARED | _CHAT, "text": _SHARED | _TEXT}
"""The table."""


@dataclass(frozen=True, slots=True)
class Meant:
    """A request's `fields` under the names that work, and for each the name it was given by."""

    fields: Mapping[str, Json]
    names: Mapping[str, str]


def meant(route: Route, body: Mapping[str, Json]) -> Meant:
    """What the fields of a request mean. Raises BadRequest that names the field at fault."""
    table = FIELDS[route]
    fields: dict[str, Json] = {}
    names: dict[str, str] = {}
    for name, value in _opened(body, table):
        for key, told in _meant(table.get(name), name, value).items():
            if told is None or (key in fields and _same(fields[key], told)):
                continue
            if key in fields:
                raise BadRequest(f"{names[key]} and {name} contradict each other.", param=name)
            fields[key], names[key] = told, name
    return Meant(fields, names)


def _opened(body: Mapping[str, Json], table: Mapping[str, Use]) -> Iterator[tuple[str, Json]]:
    """Each field of a request, and those of the objects that only hold others."""
    for name, value in body.items():
        if not isinstance(table.get(name), Opened):
            yield name, value
        elif isinstance(value, Mapping):
            yield from value.items()
        elif value is not None:
            raise BadRequest(f"{name}: must be an object.", param=name)


def _meant(use: Use | None, name: str, value: Json) -> Mapping[str, Json]:
    match use:
        case None:
            _note_unknown(name)
        case Works():
            return {name: value}
        case Alias() if value is not None:
            try:
                return use.means(value)
            except ValueError as error:
                raise BadRequest(f"{name}: {error}.", param=name) from None
        case Refused() if not use.accepts(value):
            raise BadRequest(f"{name} is not supported.", param=name, code="unsupported_parameter")
        case _:
            pass
    return {}


def given_fields(route: Route, body: Mapping[str, Json]) -> set[str]:
    """The fields that a request gives, by whichever of their names."""
    opened = [name for name in body if isinstance(FIELDS[route].get(name), Opened)]
    inner = [body[name].keys() for name in opened if isinstance(body[name], Mapping)]
    return {canonical(route, name) for name in body.keys() | set().union(*inner)}


def canonical(route: Route, name: str) -> str:
    """The field that `name` stands for."""
    use = FIELDS[route].get(name)
    return use.of if isinstance(use, Alias) else name


def _note_unknown(name: str) -> None:
    _note_once(name[:80])


@lru_cache(maxsize=1024)
def _note_once(name: str) -> None:
    """One line for each name, as long as there are not a thousand others."""
    log.warning("ignored an unknown field of a request: %r", name)


def rows() -> Iterator[tuple[str, str, str]]:
    """README's table: a field, what becomes of it in a chat, and in a text completion."""
    for name in sorted(FIELDS["chat"].keys() | FIELDS["text"].keys()):
        chat, text = (_told(FIELDS[route].get(name)) for route in ("chat", "text"))
        yield f"`{name}`", chat, text


def _told(use: Use | None) -> str:
    match use:
        case Works(note):
            return f"works: {note}" if note else "works"
        case Alias(of):
            return f"as `{of}`"
        case NoEffect():
            return "no effect"
        case Opened():
            return "its fields are read as the request's"
        case Refused(nothing):
            values = ", ".join(f"`{json.dumps(value)}`" for value in nothing)
            return f"refused, but for {values}" if values else "refused"
        case None:
            return "unknown"
