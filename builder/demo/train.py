"""`python -m builder.demo.train` trains the demo model's weights on a CPU, from scratch.

`--further STEPS` goes on from the weights as they are, at a lower rate: enough when the examples
have changed, but neither the dialogues nor the prompt's format.

The weights in the repository went on three times: 380, 450 and 450 steps, with seeds 0, 1 and 2.

Rule: seeded, and the file has the fingerprint of what it was trained on. Only completions count in
the loss; there, "other" weighs as much as all the ids that it replaces, so that none of them is
likely to be sampled.
"""

import ctypes
import math
import random
import time
from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy
from transformers import GptOssForCausalLM

from builder.demo.dialogues import fingerprint, known_ids
from builder.demo.examples import Example, drill, full
from builder.demo.fast_attention import NAME
from builder.demo.model import WEIGHTS, reduced, reduced_config, reduced_model, save
from worker.command import CommandParser
from worker.harmony.vocabulary import SIZE

STEPS = 2_400
DRILL_TOKENS, FULL_TOKENS = 1_800, 1_200
"""Tokens per step of each kind: drills teach the decisions, full examples the completions."""
RATE, FURTHER_RATE = 4e-3, 1e-3
OTHER_BIAS = math.log(SIZE - len(known_ids())) + 4.0
"""Added to the logit of "other": it replaces that many ids, plus a margin for unseen text."""


def train(model: GptOssForCausalLM, steps: int = STEPS, rate: float = RATE) -> GptOssForCausalLM:
    """Trains the reduced model, with drills and full examples in each step."""
    rng = random.Random(torch.initial_seed())
    drills = _batches(rng, drill, DRILL_TOKENS, steps)
    fulls = _batches(rng, full, FULL_TOKENS, steps)
    model.set_attn_implementation(NAME)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.1
    )
    started = time.monotonic()
    for step, (drilled, whole) in enumerate(zip(drills, fulls, strict=True), start=1):
        losses = _loss(model, drilled), _loss(model, whole)
        optimizer.zero_grad()
        sum(losses, torch.zeros(())).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            shown = ", ".join(f"{loss.item():.5f}" for loss in losses)
            print(f"{step}/{steps}: loss {shown}, {time.monotonic() - started:.0f} s", flush=True)
    return model.eval()


def _batches(
    rng: random.Random, make: Callable[[random.Random], Example], tokens: int, steps: int
) -> list[list[Example]]:
    """One batch per step, of about `tokens` tokens: similar lengths per batch, in random order."""
    batches: list[list[Example]] = []
    while len(batches) < steps:
        batch: list[Example] = []
        for example in sorted((make(rng) for _ in range(500)), key=lambda pair: len(pair[0])):
            if batch and (len(batch) + 1) * len(example[0]) > tokens:
                batches.append(batch)
                batch = []
            batch.append(example)
        batches.append(batch)
    rng.shuffle(batches)
    return batches[:steps]


def _loss(model: GptOssForCausalLM, batch: list[Example]) -> torch.Tensor:
    """The weighted mean loss. Padding is at the end, where causal attention does not see it."""
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([reduced(ids) + [0] * (longest - len(ids)) for ids, _ in batch])
    weights = torch.tensor([weight + [0.0] * (longest - len(weight)) for _, weight in batch])
    targets, weights = ids[:, 1:], weights[:, 1:]
    counts = weights > 0
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state[counts]
    logits = model.lm_head(hidden)
    logits = torch.cat([logits[:, :1] + OTHER_BIAS, logits[:, 1:]], dim=1)
    losses = cross_entropy(logits, targets[counts], reduction="none")
    return (losses * weights[counts]).sum() / weights.sum()


def _keep_memory() -> None:
    """Makes glibc keep freed memory: returning it costs half of the training time."""
    libc = ctypes.CDLL("libc.so.6")
    trim_threshold, mmap_max = -1, -4
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)


def main() -> None:
    parser = CommandParser("python -m builder.demo.train", __doc__)
    parser.add_argument("--further", type=int, metavar="STEPS", help="go on from the weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    _keep_memory()
    made_for = fingerprint()
    if chosen.further:
        model = train(reduced_model(), chosen.further, FURTHER_RATE)
    else:
        model = train(GptOssForCausalLM(reduced_config()))
    save(model.state_dict(), WEIGHTS, {"fingerprint": made_for})
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
