"""The worker with SGLang's CUDA engine, measured on whatever GPU is available.

Rule: each step has its own time limit and writes its result to the JSON at once; a step that fails
leaves its error there, and the next step runs. The bare engine runs in the same process that serves
our HTTP API, alternating with it; the clients are other processes. Both sides generate the same
tokens from the same prompt ids (see benchmarks/gpu_model.py).
Run: `python -m benchmarks.gpu --out DIR [--model-config 20b|120b|tiny] [--steps …] [--budget S]`;
`tiny` is the demo model, on a CPU. `--figure JSON` draws a run's chart.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil

from benchmarks.gpu_chart import draw_chart
from worker.command import CommandParser

ROOT = Path(__file__).parent.parent
PROMPT = {"messages": [{"role": "user", "content": "Count to one hundred"}], "temperature": 0}
ROUNDS = 3
CLIENTS = 4
"""Client processes, which share the HTTP streams: a single one would be the bottleneck."""
TOTAL_MIB = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
HEADER_TOKENS = 3
"""Tokens of the random model's answer before its first word; clients do not see them."""
CUDA_ENV = {
    "HF_HUB_OFFLINE": "1",
    "SGLANG_IS_FLASHINFER_AVAILABLE": "false",
    "SGLANG_ENABLE_JIT_DEEPGEMM": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
CUDA_ARGS = {
    "attention_backend": "triton",
    "sampling_backend": "pytorch",
    "grammar_backend": "xgrammar",
    "random_seed": 0,
    "skip_server_warmup": True,
    "enable_custom_logit_processor": True,
}
MODULES = [
    "torch",
    "triton",
    "transformers",
    "tokenizers",
    "sgl_kernel",
    "triton_kernels.matmul_ogs",
    "xgrammar",
    "sglang",
    "sglang.srt.entrypoints.engine",
    "sglang.srt.managers.scheduler",
    "sglang.srt.managers.detokenizer_manager",
    "sglang.srt.models.gpt_oss",
    "sglang.srt.layers.attention.triton_backend",
    "sglang.srt.layers.quantization.mxfp4",
    "sglang.srt.layers.moe.moe_runner.triton_kernels",
    "sglang.srt.constrained.xgrammar_backend",
    "worker.serve",
    "worker.entrypoints.http.server",
    "worker.service",
    "worker.engine",
]
STEPS = (
    "machine",
    "imports",
    "model",
    "jit",
    "boot",
    "streams",
    "agent",
    "tools",
    "cancel",
    "grammar",
    "reboot",
)


# The engine process


async def serve(model_path: str, ports: list[int]) -> None:
    """Serves our API on two ports (without and with the header grammar), and operations on stdin.

    An operation is a line of JSON. Its reply is a line on this process's original stdout; all
    other output goes to stderr.
    """
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from worker.engine import SglangEngine, server_args
    from worker.entrypoints.http.server import create_server
    from worker.model import resolve
    from worker.service import Service
    from worker.settings import Settings

    extra = json.loads(os.environ.get("BENCH_ENGINE_ARGS", "{}"))
    shared: dict[str, Any] = {"model": model_path, "log_level": "warning", "engine_args": extra}
    shared |= {"max_running_requests": int(os.environ.get("BENCH_RUNNING", "64"))}
    shared |= {"mem_fraction_static": 0.85, "served_model_name": ("bench",)}
    plain = Settings(**shared, header_grammar=False)
    model = resolve(plain)
    started = time.monotonic()
    # SGLang's own output path: only with it is there a bare `async_generate` to compare with.
    engine = SglangEngine(server_args(plain, model), direct=False)
    await engine.start()
    wall = time.monotonic() - started
    tasks: list[asyncio.Task[None]] = []
    for port, settings in zip(ports, (plain, Settings(**shared, header_grammar=True)), strict=True):
        import socket

        listener = socket.create_server(("127.0.0.1", port), backlog=2048)
        server = create_server(Service(engine, model, settings), settings)
        tasks.append(asyncio.create_task(server.serve([listener])))
    manager = engine._engine.tokenizer_manager
    info = getattr(engine._engine, "_scheduler_init_result", None)
    infos = getattr(info, "scheduler_infos", None) or [{}]
    replies.write(
        json.dumps(
            {
                "wall_s": wall,
                "boot_seconds": dict(engine.boot_seconds()),
                "startup_time": getattr(manager, "startup_time", None),
                "scheduler": infos[0],
            },
            default=str,
        )
        + "\n"
    )
    while line := await asyncio.to_thread(sys.stdin.readline):
        arguments = json.loads(line)
        try:
            answer = await OPERATIONS[arguments.pop("op")](engine, **arguments)
        except Exception:  # noqa: BLE001 - reported to the caller
            answer = {"error": traceback.format_exc()[-2000:]}
        replies.write(json.dumps(answer) + "\n")
    for task in tasks:
        task.cancel()
    await engine.close()


async def bare_round(engine: Any, streams: int, length: int) -> dict[str, Any]:
    """Concurrent streams of the bare engine."""
    from worker.api.chat import render_prompt
    from worker.engine.sglang_arguments import sampling_params
    from worker.generation import Sampling
    from worker.harmony.vocabulary import STOP_IDS

    async def one() -> tuple[int, float]:
        sampling = Sampling(max_tokens=length, temperature=0.0, stop_ids=STOP_IDS)
        asked = time.monotonic()
        stream = await engine._engine.async_generate(
            input_ids=render_prompt(PROMPT), sampling_params=sampling_params(sampling), stream=True
        )
        tokens, first = 0, 0.0
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                tokens += len(chunk["output_ids"])
                if not first and tokens > HEADER_TOKENS:
                    first = time.monotonic() - asked
        return tokens, first

    return await measured(one, streams)


async def sample(engine: Any, length: int) -> dict[str, Any]:
    """A sample of the model's output, to be read by a person."""
    from worker.api.chat import render_prompt
    from worker.engine.sglang_arguments import sampling_params
    from worker.generation import Sampling
    from worker.harmony.vocabulary import encoding

    sampling = sampling_params(Sampling(max_tokens=length, temperature=0.0))
    stream = await engine._engine.async_generate(
        input_ids=render_prompt(PROMPT), sampling_params=sampling, stream=True
    )
    ids: list[int] = []
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            ids += chunk["output_ids"]
    return {"text": encoding().decode(ids), "ids": ids[:20]}


async def grammar_round(engine: Any, streams: int, length: int, headers: bool) -> dict[str, Any]:
    """Concurrent streams of our engine, with or without the header grammar."""
    from worker.api.chat import render_prompt, structural_tag
    from worker.generation import Sampling
    from worker.harmony.vocabulary import STOP_IDS

    tools = [{"type": "function", "function": {"name": f"tool_{i}"}} for i in range(10)]
    tag = structural_tag({"tools": tools}, headers=True) if headers else None
    sampling = Sampling(max_tokens=length, temperature=0.0, stop_ids=STOP_IDS, structural_tag=tag)

    async def one() -> tuple[int, float]:
        asked, first, tokens = time.monotonic(), 0.0, 0
        rid = f"grammar-{time.monotonic_ns()}-{os.urandom(4).hex()}"
        async with aclosing(engine.generate(render_prompt(PROMPT), sampling, rid)) as steps:
            async for step in steps:
                first = first or time.monotonic() - asked
                tokens = step.completion_tokens
        return tokens, first

    return await measured(one, streams)


async def cancel(engine: Any, streams: int) -> dict[str, Any]:
    """How long it takes, after cancelling all of `streams`, until the engine is idle."""
    from worker.api.chat import render_prompt
    from worker.generation import Sampling

    async def endless(rid: str) -> None:
        sampling = Sampling(max_tokens=4000, temperature=0.0)
        async with aclosing(engine.generate(render_prompt(PROMPT), sampling, rid)) as steps:
            async for _ in steps:
                pass

    tasks = [
        asyncio.create_task(endless(f"cancel-{n}-{os.urandom(4).hex()}")) for n in range(streams)
    ]
    await asyncio.sleep(1.0)
    before = engine.load().running
    started = time.monotonic()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    left = time.monotonic() - started
    while engine.load().running and time.monotonic() - started < 10:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    return {"running_before": before, "left_s": left, "idle_s": time.monotonic() - started}


async def tool_loop(engine: Any, turns: int) -> dict[str, Any]:
    """Prompt and cached tokens of an agent's turns, with and without the turn memory."""
    from benchmarks.tool_loop import Agent, LoopEngine
    from worker.model import Model
    from worker.service import Service
    from worker.settings import Settings

    model = Model(path="x", names=("bench",), context_length=131072)
    found: dict[str, Any] = {"columns": ["prompt_tokens", "cached_tokens"]}
    for name, megabytes in (("memory_on", 64), ("memory_off", 0)):
        settings = Settings(model="bench", reasoning_memory_mb=megabytes)
        service, agent = Service(LoopEngine(engine), model, settings), Agent()
        started = time.monotonic()
        made = [(await agent.turn(service))[:2] for _ in range(turns)]
        seconds = time.monotonic() - started
        prompts, cached = (sum(each[at] for each in made[1:]) for at in (0, 1))
        computed = prompts - cached
        found[name] = {"turns": made, "seconds": seconds, "prefilled_tokens": computed}
        found[name]["cached_share"] = cached / prompts
    return found


OPERATIONS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
    "bare": bare_round,
    "sample": sample,
    "grammar": grammar_round,
    "cancel": cancel,
    "tool_loop": tool_loop,
}


async def measured(one: Callable[[], Awaitable[tuple[int, float]]], streams: int) -> dict[str, Any]:
    """Tokens per second and TTFT of `streams` concurrent calls of `one` (its tokens, its TTFT)."""
    started = time.monotonic()
    made = await asyncio.gather(*(one() for _ in range(streams)))
    return statistics_of(made, time.monotonic() - started)


def statistics_of(made: Sequence[tuple[int, float]], wall: float) -> dict[str, Any]:
    tokens = sum(tokens for tokens, _ in made)
    firsts = sorted(first for _, first in made)
    return {
        "tokens": tokens,
        "wall_s": wall,
        "tokens_per_s": tokens / wall,
        "ttft_p50_ms": firsts[len(firsts) // 2] * 1000,
        "ttft_max_ms": firsts[-1] * 1000,
    }


# The clients


async def chat(port: int, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """One streamed chat over a raw socket. Returns its usage and its TTFT in seconds."""
    sent = json.dumps({"model": "bench", "stream": True, **body, **_USAGE}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(sent)}\r\n\r\n"
    asked, first = time.monotonic(), 0.0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + sent)
    tail = b""
    while data := await reader.read(65536):
        if not first and _TEXT.search(data):
            first = time.monotonic() - asked
        tail = (tail + data)[-8192:]
    writer.close()
    if b"[DONE]" not in tail:
        raise RuntimeError(f"a stream ended without [DONE]: {tail[-500:]!r}")
    events = [line[6:] for line in tail.split(b"\n") if line.startswith(b"data: {")]
    usages = [usage for event in events[-2:] if (usage := json.loads(event).get("usage"))]
    return usages[-1], first


_TEXT = re.compile(rb'"(?:content|reasoning)":"[^"]')
"""The first token after a header, as with the bare engine: the demo model thinks first."""
_USAGE = {"stream_options": {"include_usage": True}}


def client(port: int, streams: int, length: int, starts: float) -> tuple[list[Any], float, float]:
    """One client process's streams: (tokens, TTFT) of each, when they ended, CPU seconds."""

    async def one() -> tuple[int, float]:
        usage, first = await chat(port, PROMPT | {"max_tokens": length})
        return usage["completion_tokens"], first

    async def run() -> list[tuple[int, float]]:
        await asyncio.sleep(starts - time.monotonic())
        return await asyncio.gather(*(one() for _ in range(streams)))

    before = time.process_time()
    made = asyncio.run(run())
    return made, time.monotonic(), time.process_time() - before


async def http_round(pool: Executor, port: int, streams: int, length: int) -> dict[str, Any]:
    """Concurrent streams over HTTP, shared among the pool's processes."""
    starts = time.monotonic() + 0.3
    shares = [streams // CLIENTS + (n < streams % CLIENTS) for n in range(CLIENTS)]
    loop = asyncio.get_running_loop()
    parts = await asyncio.gather(
        *(loop.run_in_executor(pool, client, port, n, length, starts) for n in shares if n)
    )
    made = [each for part, _, _ in parts for each in part]
    measured = statistics_of(made, max(ended for _, ended, _ in parts) - starts)
    return measured | {"client_cpu_s": [round(cpu, 2) for _, _, cpu in parts]}


class EngineProcess:
    """The child process that runs the engine and serves our API."""

    def __init__(self, model_path: str, env: dict[str, str]) -> None:
        import socket

        self.ports: list[int] = []
        for _ in range(2):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                self.ports.append(listener.getsockname()[1])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu", "--serve", model_path, *map(str, self.ports)],
            cwd=ROOT,
            env=os.environ | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ps = psutil.Process(self.process.pid)

    async def read(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdout
        line = await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), seconds)
        if not line:
            raise RuntimeError(f"The engine process has exited with {self.process.poll()}.")
        return json.loads(line)

    async def call(self, op: str, seconds: float = 90, **arguments: Any) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self.process.stdin.flush()
        return await self.read(seconds)

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, of the serving process and of each of its children."""
        found: dict[str, float] = {}
        for number, process in enumerate([self.ps, *self.ps.children(recursive=True)]):
            try:
                times, command = process.cpu_times(), process.cmdline()
            except psutil.Error:
                continue  # it has exited in the meantime
            name = "main" if number == 0 else " ".join(command)[-40:] or str(process.pid)
            found[f"{number} {name}"] = times.user + times.system
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            tree = [*self.ps.children(recursive=True), self.ps]
            for process in tree:
                process.kill()
        self.process.wait(20)


class Run:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.ends = time.monotonic() + options.budget
        self.tiny = options.model_config == "tiny"
        self.counts: tuple[int, ...] = options.streams or (
            (1, 4) if self.tiny else (64, 1, 16, 256)
        )
        self.length = 40 if self.tiny else 256
        self.path = "demo" if self.tiny else self.folder()
        self.engine: EngineProcess | None = None
        self.result: dict[str, Any] = {"model": options.model_config, "started": time.ctime()}

    def folder(self) -> str:
        need = 16e9 if self.options.model_config == "20b" else 70e9
        shm = Path("/dev/shm")  # noqa: S108
        free = psutil.disk_usage(str(shm)).free if shm.exists() else 0
        root = str(shm) if free > need else "/tmp"  # noqa: S108
        return f"{root}/gpt-oss-{self.options.model_config}-random"

    def flush(self) -> None:
        text = json.dumps(self.result, indent=1, default=str)
        name = f"gpu-{self.options.model_config}.json"
        self.options.out.mkdir(parents=True, exist_ok=True)
        (self.options.out / name).write_text(text)

    async def all(self) -> None:
        for step in self.options.steps:
            left = self.ends - time.monotonic()
            if left < 10:
                self.result[step] = {"skipped": "no time left"}
                continue
            started = time.monotonic()
            print(f"== {step}, {left:.0f} s left", flush=True)
            try:
                async with asyncio.timeout(left):
                    await getattr(self, step)()
            except Exception as error:  # noqa: BLE001 - a step's failure is a result
                self.result.setdefault(step, {})["error"] = traceback.format_exc()[-3000:]
                print(f"!! {step}: {error!r}", flush=True)
            self.result.setdefault("step_seconds", {})[step] = time.monotonic() - started
            self.flush()
            print(f"== {step}: {json.dumps(self.result.get(step), default=str)[:3000]}", flush=True)
        if self.engine:
            self.engine.end()

    async def command(self, *command: str, seconds: float = 300) -> str:
        """A command's stdout. Raises RuntimeError with both of its streams if it fails."""
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=seconds,
            env=os.environ | self.env(),
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError((done.stdout + done.stderr)[-3000:])
        return done.stdout

    def env(self, graphs: bool = False) -> dict[str, str]:
        if self.tiny:
            return {"BENCH_ENGINE_ARGS": '{"enable_custom_logit_processor": true}'}
        engine: dict[str, Any] = dict(CUDA_ARGS)
        if not graphs:
            engine["disable_prefill_cuda_graph"] = True
        if self.options.graphs:
            engine["cuda_graph_bs_decode"] = self.options.graphs
        return CUDA_ENV | {"BENCH_ENGINE_ARGS": json.dumps(engine), "BENCH_RUNNING": "256"}

    async def machine(self) -> None:
        from importlib import metadata

        names = ("torch", "triton", "sglang", "sglang-kernel", "transformers", "xgrammar")
        found: dict[str, str | None] = {}
        for name in names:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = None
        self.result["machine"] = {"python": sys.version, "cores": os.cpu_count(), "versions": found}
        if not self.tiny:
            query = "--query-gpu=name,driver_version,memory.total,memory.used"
            self.result["machine"]["gpu"] = await self.command("nvidia-smi", query, "--format=csv")

    async def imports(self) -> None:
        code = (
            "import importlib, json, sys, traceback\nbad = {}\n"
            "for name in sys.argv[1:]:\n"
            " try: importlib.import_module(name)\n"
            " except BaseException: bad[name] = traceback.format_exc()[-600:]\n"
            "print('RESULT' + json.dumps(bad))"
        )
        modules = [m for m in MODULES if not self.tiny or m.startswith("worker")]
        output = await self.command(sys.executable, "-c", code, *modules, seconds=120)
        self.result["imports"] = {"missing": json.loads(output.rpartition("RESULT")[2])}

    async def jit(self) -> None:
        """Builds the SGLang kernels that this model needs, concurrently and before the boot."""
        if self.tiny:
            return
        calls = (
            "attention import rope as m; m._jit_fused_rope_module(True, 64, bf, bf)",
            "kvcache import kvcache as m; m._jit_kvcache_module(1024, 1024)",
            "attention import clamp_position as m; m._jit_clamp_position_module(torch.int64)",
        )
        code = "import torch; bf = torch.bfloat16; from sglang.kernels.ops."
        building = [self.command(sys.executable, "-c", code + call, seconds=150) for call in calls]
        built = await asyncio.gather(*building, return_exceptions=True)
        self.result["jit"] = {
            call: str(output)[-1500:] for call, output in zip(calls, built, strict=True)
        }

    async def model(self) -> None:
        if not self.tiny:
            arguments = ("-m", "benchmarks.gpu_model", self.options.model_config, self.path)
            await self.command(sys.executable, *arguments)
        self.result["model_path"] = self.path

    async def boot(self, key: str = "boot", graphs: bool = False) -> None:
        if self.engine:
            self.engine.end()
        started = time.monotonic()
        self.engine = EngineProcess(self.path, self.env(graphs))
        try:
            self.result[key] = await self.engine.read(400)
        except BaseException:
            self.engine.end()
            self.engine = None
            raise
        self.result[key]["process_s"] = time.monotonic() - started
        if not self.tiny:
            query = ("nvidia-smi", "--query-gpu=memory.used,memory.free", "--format=csv")
            self.result[key]["memory"] = await self.command(*query)
            self.result[key]["by_the_formula"] = expected_tokens(
                self.options.model_config, float(await self.command(*TOTAL_MIB))
            )
        self.result[key]["sample"] = await self.engine.call("sample", 120, length=24)

    async def reboot(self) -> None:
        await self.boot("reboot", graphs=True)

    async def streams(self) -> None:
        assert self.engine
        self.result["streams"] = {}
        pool = ProcessPoolExecutor(CLIENTS, multiprocessing.get_context("spawn"))
        for count in self.counts:
            pairs: list[dict[str, Any]] = []
            self.result["streams"][str(count)] = pairs
            for number in range(ROUNDS + 1):
                sides: dict[str, Any] = {}
                for side in ("bare", "http"):
                    before = self.engine.cpu()
                    side_result = (
                        await self.engine.call("bare", streams=count, length=self.length)
                        if side == "bare"
                        else await http_round(pool, self.engine.ports[0], count, self.length)
                    )
                    wall = side_result["wall_s"]
                    cores = {
                        name: round((now - before.get(name, 0)) / wall, 3)
                        for name, now in self.engine.cpu().items()
                    }
                    sides[side] = side_result | {"cores": cores}
                if number:  # the first round is the warm-up
                    pairs.append(sides)
                self.flush()
            print(count, "streams:", summary(pairs), flush=True)
            self.result.setdefault("summary", {})[str(count)] = summary(pairs)

    async def agent(self) -> None:
        """A conversation of many turns, each of which sends the whole history."""
        assert self.engine
        messages: list[dict[str, str]] = []
        turns: list[list[float]] = []
        for turn in range(5 if self.tiny else 50):
            messages.append({"role": "user", "content": f"Turn {turn}: " + "more words " * 150})
            body = {"messages": messages, "temperature": 0, "max_tokens": self.length}
            usage, first = await chat(self.engine.ports[0], body)
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            turns.append([usage["prompt_tokens"], cached, round(first * 1000, 2)])
            messages.append({"role": "assistant", "content": " with that this from"})
        self.result["agent"] = {
            "columns": ["prompt_tokens", "cached_tokens", "ttft_ms"],
            "turns": turns,
            "cached_share": sum(t[1] for t in turns[1:]) / sum(t[0] for t in turns[1:]),
        }

    async def tools(self) -> None:
        assert self.engine
        turns = 3 if self.tiny else 50
        self.result["tools"] = await self.engine.call("tool_loop", 120, turns=turns)

    async def cancel(self) -> None:
        assert self.engine
        self.result["cancel"] = await self.engine.call("cancel", 30, streams=self.counts[0])

    async def grammar(self) -> None:
        assert self.engine
        self.result["grammar"] = {}
        for count in self.counts[:2]:
            pairs: list[list[float]] = []
            for _ in range(ROUNDS + 1):
                pair: list[float] = []
                for headers in (False, True):
                    got = await self.engine.call(
                        "grammar", streams=count, length=self.length, headers=headers
                    )
                    if "error" in got:
                        raise RuntimeError(got["error"])
                    pair.append(got["tokens_per_s"])
                pairs.append(pair)
            ratio = statistics.median(constrained / free for free, constrained in pairs[1:])
            self.result["grammar"][str(count)] = {"tokens_per_s": pairs[1:], "ratio": ratio}


def expected_tokens(name: str, total_mib: float) -> dict[str, float]:
    """Expected KV cache size in tokens: (0.85 of free memory - weights) / bytes per token.

    Weights are those of triton_kernels' layout on Hopper. A token takes 2048 bytes per layer; the
    sliding-window layers, half of all, keep 0.8 of the tokens.
    """
    weights, layers = {"20b": (14_384_512_128, 24), "120b": (68_988_299_904, 36)}[name]
    free = total_mib * 2**20 - 1.0 * 2**30
    cell = layers / 2 * 2048 * 1.8
    return {"tokens": (0.85 * free - weights) / cell, "weights": weights, "cell": cell}


def summary(pairs: list[dict[str, Any]]) -> dict[str, float]:
    """The medians over the rounds with the same number of streams."""

    def median(side: str, name: str) -> float:
        return statistics.median(pair[side][name] for pair in pairs)

    ratios = [pair["http"]["tokens_per_s"] / pair["bare"]["tokens_per_s"] for pair in pairs]
    main = [next(iter(pair["http"]["cores"].values())) for pair in pairs]
    return {
        "bare_tokens_per_s": median("bare", "tokens_per_s"),
        "http_tokens_per_s": median("http", "tokens_per_s"),
        "ratio": statistics.median(ratios),
        "bare_ttft_ms": median("bare", "ttft_p50_ms"),
        "http_ttft_ms": median("http", "ttft_p50_ms"),
        "main_cores": statistics.median(main),
    }


def _steps(names: str) -> list[str]:
    """`boot,streams`"""
    chosen = names.split(",")
    if wrong := [name for name in chosen if name not in STEPS]:
        raise argparse.ArgumentTypeError(f"no step {wrong[0]!r}; there are {', '.join(STEPS)}")
    return chosen


def main() -> None:
    parser = CommandParser("python -m benchmarks.gpu", __doc__)
    parser.add_argument("--serve", nargs=3, metavar=("MODEL", "PORT", "PORT"))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--model-config", choices=("20b", "120b", "tiny"), default="20b")
    parser.add_argument("--steps", type=_steps, default=list(STEPS), help="with commas, in order")
    parser.add_argument("--streams", type=int, nargs="*", default=(), help="concurrent streams")
    parser.add_argument("--graphs", type=int, nargs="*", help="batch sizes of the decode graphs")
    parser.add_argument("--budget", type=float, default=480, help="seconds for all steps")
    parser.add_argument("--figure", type=Path, help="only draw the chart of a run's JSON")
    options = parser.parse_args()
    if options.figure:
        print(draw_chart(options.figure))
    elif options.serve:
        import uvloop

        path, *ports = options.serve
        uvloop.run(serve(path, [int(port) for port in ports]))
    else:
        asyncio.run(Run(options).all())


if __name__ == "__main__":
    main()
