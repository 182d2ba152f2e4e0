"""Runs during the image build: puts a model into the image, at /models/ORG/NAME.

Usage: bake_model.py ORG/NAME; an empty name does nothing. Only what serving needs is taken:
`original/` and `metal/` hold the same weights again, for other programs. The token comes from a
build secret, which is in no layer.
"""

import argparse
from pathlib import Path

SECRET = Path("/run/secrets/hf_token")
MODELS = Path("/models")
NEEDED = ("*.safetensors", "*.json", "*.jinja")
NOT_NEEDED = ("*/*",)
"""Patterns of huggingface_hub, in which `*` also matches `/`."""


def main(model: str) -> None:
    if not model:
        return
    from huggingface_hub import snapshot_download

    folder = MODELS / model
    snapshot_download(
        model,
        local_dir=folder,
        allow_patterns=list(NEEDED),
        ignore_patterns=list(NOT_NEEDED),
        token=SECRET.read_text().strip() if SECRET.exists() else None,
    )
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{model}: {size / 1e9:.1f} GB in {folder}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", metavar="ORG/NAME")
    main(parser.parse_args().model)
