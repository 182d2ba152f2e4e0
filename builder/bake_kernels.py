"""Runs during the image build: compiles SGLang's kernels for gpt-oss, so that no start has to.

SGLang compiles these with nvcc when they are first called, into SGLANG_JIT_CACHE_DIR, under keys
that say all that went into them: a build that does not apply is not used, so baking is always safe.
No GPU is needed. Each architecture has a process of its own, because SGLang remembers what it found
out about the first one. Triton's kernels are specialized for how they are called, which only a run
on a GPU shows; they are kept on the volume instead (caches.sh).

Usage: bake_kernels.py 8.0 9.0 … (compute capabilities)
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

OPS = "sglang.kernels.ops"


def kernels(dtype: Any) -> list[tuple[str, str, tuple[Any, ...]]]:
    """Module, factory and arguments of each kernel. `dtype`: gpt-oss's, bfloat16.

    The sizes are gpt-oss's: rotary dimension 64, and 8 KV heads of 64 numbers each, on one GPU.
    """
    return [
        (f"{OPS}.layernorm.norm", "_jit_fused_add_rmsnorm_module", (dtype, False)),
        (f"{OPS}.attention.rope", "_jit_fused_rope_module", (True, 64, dtype, dtype)),
        (f"{OPS}.kvcache.kvcache", "_jit_kvcache_module", (8 * 64 * 2, 8 * 64 * 2, 0)),
    ]


def bake(capability: str) -> int:
    """Builds all kernels for an architecture. Returns how many were published to the cache."""
    import torch
    from sglang.kernels.jit.utils.arch import override_jit_cuda_arch
    from sglang.kernels.jit.utils.compile.cache import cache_root
    from sglang.kernels.jit.utils.compile.parallel import parallel_compile

    before = set(cache_root().rglob("*.so"))
    major, minor = map(int, capability.split("."))
    builders: list[Callable[[], Any]] = [
        partial(getattr(import_module(module), factory), *arguments)
        for module, factory, arguments in kernels(torch.bfloat16)
    ]
    with override_jit_cuda_arch(major, minor):
        try:
            parallel_compile(builders)
        except Exception as error:  # noqa: BLE001 - a kernel was not built, or not loaded here
            print(f"{capability}: {error}", file=sys.stderr)
    return len(set(cache_root().rglob("*.so")) - before)


def main(capabilities: list[str]) -> int:
    """Returns the exit status: 1 if nothing could be built for an architecture."""
    if len(capabilities) == 1:
        built = bake(capabilities[0])
        print(f"{capabilities[0]}: {built} kernels built")
        return 0 if built else 1
    each = [subprocess.run([sys.executable, __file__, one], check=False) for one in capabilities]
    return max((done.returncode for done in each), default=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("capabilities", nargs="*")
    sys.exit(main(parser.parse_args().capabilities))
