"""Packs what an offline CUDA machine needs to run SGLang 0.5.17 into one archive: `site.tar.xz`.

Rule: the machine already has Python 3.12, torch 2.11 for CUDA 13, triton 3.6 and the dependencies
of transformers. The archive has everything else that SGLang imports to serve gpt-oss, at tested
versions, without what this model never runs. Of SGLang's kernels it has only the Hopper library,
without FA3, so attention runs on Triton. FlashInfer and IPython, which SGLang imports but does not
use here, are stubbed. Unpack it and put the folder on PYTHONPATH.
Run: `python -m benchmarks.gpu_pack [--out .gpu-pack]`, with a pip that reaches PyPI.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

from worker.command import CommandParser

PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in (35, 34, 31, 28, 27, 24, 17)),
    "manylinux2014_x86_64",
    "manylinux1_x86_64",
)
PACKAGES = [
    "sglang==0.5.17",
    "sglang-kernel==0.4.5",
    "xgrammar==0.2.7",
    "transformers==5.12.1",
    "tokenizers==0.22.2",
    "apache-tvm-ffi==0.1.11",
    "compressed-tensors==0.20.0",
    "loguru==0.7.3",
    "gguf==0.19.0",
    "distro==1.9.0",
    "easydict==1.14",
    "fastapi==0.165.0",
    "starlette==1.10.0",
    "opentelemetry-api",
    "importlib-metadata",
    "zipp",
    "interegular==0.3.3",
    "llguidance==1.9.1",
    "msgspec==0.22.0",
    "openai==2.6.1",
    "jiter==0.19.0",
    "openai-harmony==0.0.4",
    "orjson==3.13.0",
    "partial-json-parser==0.2.1.1.post7",
    "pybase64==1.5.1",
    "pydantic==2.14.4",
    "pydantic-core==2.50.5",
    "pydantic-settings==2.16.3",
    "python-dotenv==1.2.4",
    "python-multipart==0.0.34",
    "pyzmq==27.3.0",
    "setproctitle==1.3.8",
    "sniffio==1.3.1",
    "uvicorn==0.54.0",
    "httptools==0.9.0",
    "zstandard==0.25.0",
    "dill==0.4.1",
    "annotated-types==0.8.0",
    "typing-inspection==0.4.5",
    "torch-memory-saver==0.0.10",
]
LEFT_OUT = (
    "sglang/multimodal_gen/*",
    "sglang/test/*",
    "sglang/srt/*/_core.*.so",
    "sgl_kernel/sm100/*",
    "sgl_kernel/*_ops*.so",
)
HOPPER = "sgl_kernel/sm90/*"
STUBS = {
    "IPython/__init__.py": "",
    "IPython/display.py": "HTML = display = None\n",
    "flashinfer/__init__.py": "bmm_fp8 = None\n",
    # For everything else of FlashInfer that it cannot import, SGLang has a fallback.
    "flashinfer/sampling.py": (
        "min_p_sampling_from_probs = top_k_top_p_sampling_from_probs = None\n"
        "top_k_renorm_probs = top_p_renorm_probs = None\n"
    ),
}


def download(folder: Path) -> None:
    """Downloads the wheels for that machine's Python, whatever this one's is."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    command += ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    subprocess.run([*command, *PACKAGES], check=True)


def unpack(wheels: Path, site: Path) -> None:
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            wanted = [name for name in archive.namelist() if is_wanted(name)]
            archive.extractall(site, wanted)
    for name, text in STUBS.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text)


def is_wanted(name: str) -> bool:
    return fnmatch(name, HOPPER) or not any(fnmatch(name, pattern) for pattern in LEFT_OUT)


def main() -> None:
    parser = CommandParser("python -m benchmarks.gpu_pack", __doc__)
    parser.add_argument("--out", type=Path, default=Path(".gpu-pack"))
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheels, site = Path(scratch) / "wheels", Path(scratch) / "site"
        download(wheels)
        unpack(wheels, site)
        made = shutil.make_archive(str(Path(scratch) / "site"), "xztar", site)
        shutil.move(made, out / "site.tar.xz")
    print(f"{out / 'site.tar.xz'}: {(out / 'site.tar.xz').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
