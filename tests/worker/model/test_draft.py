"""SPECULATIVE: what SGLang is told, and what the memory formula counts."""

import pytest

from worker.engine import server_args
from worker.model import resolve
from worker.model.fit import GPT_OSS_120B
from worker.model.gpus import gpu_named
from worker.model.verdict import demand_of, judge
from worker.settings import Settings, SettingsError


def test_it_is_off_by_default() -> None:
    """No argument of SGLang's says a word of it."""
    arguments = server_args(Settings(), resolve(Settings()))
    assert not [name for name in arguments if name.startswith("speculative")]


def test_eagle3_is_the_draft_with_a_chain_of_three() -> None:
    """ENGINE_ARGS wins, as over everything."""
    settings = Settings(
        model="openai/gpt-oss-120b",
        speculative="eagle3",
        engine_args={"speculative_num_steps": 5, "speculative_num_draft_tokens": 6},
    )
    arguments = server_args(settings, resolve(settings))
    assert {name: v for name, v in arguments.items() if name.startswith("speculative")} == {
        "speculative_algorithm": "EAGLE3",
        "speculative_draft_model_path": "lmsys/EAGLE3-gpt-oss-120b-bf16",
        "speculative_num_steps": 5,
        "speculative_eagle_topk": 1,
        "speculative_num_draft_tokens": 6,
    }


@pytest.mark.parametrize("model", ["openai/gpt-oss-20b", "demo", "someone/finetune"])
def test_a_model_without_a_draft_is_refused(model: str) -> None:
    """In one line that says what can be set instead."""
    with pytest.raises(SettingsError, match=r"^SPECULATIVE=eagle3 has .* gpt-oss-120b alone; .*$"):
        resolve(Settings(model=model, speculative="eagle3"))


def test_the_drafts_weights_and_cache_are_counted() -> None:
    """1.7 GB of weights, and a 19th full layer beside the 18, of 2,048 bytes a token each."""
    plain = Settings(model="openai/gpt-oss-120b")
    with_draft = plain.model_copy(update={"speculative": "eagle3"})
    gpu = gpu_named("H200")
    without, drafted = (
        judge(demand_of(chosen, GPT_OSS_120B), gpu).kv_tokens for chosen in (plain, with_draft)
    )
    kv = without * 2048 * 18 * 1.8
    assert drafted == pytest.approx((kv - 1_700_000_000) / (2048 * (19 + 18 * 0.8)), abs=1)


def test_beside_a_draft_the_120b_needs_more_of_an_h100() -> None:
    """The doctor says how much: with that, 131,072 tokens fit."""
    settings = Settings(model="openai/gpt-oss-120b", speculative="eagle3")
    refused = judge(demand_of(settings, GPT_OSS_120B), gpu_named("H100"))
    assert not refused.fits
    assert "set MEM_FRACTION_STATIC=0.92" in refused.refusals[0]
    more = settings.model_copy(update={"mem_fraction_static": 0.92})
    assert judge(demand_of(more, GPT_OSS_120B), gpu_named("H100")).fits
