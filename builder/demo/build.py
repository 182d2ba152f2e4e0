"""`python -m builder.demo.build [FOLDER]` writes the demo model as a Hugging Face model folder.

Rule: FOLDER is either complete, with a stamp file (the hash of all inputs), or absent: it is
written to a temporary folder next to it and then renamed. A folder with the right stamp is kept.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from worker.command import CommandParser

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights.safetensors"
VOCABULARY = HERE.parents[1] / "worker" / "harmony" / "o200k_base.tiktoken"
STAMP = "made_from.sha256"


def build(folder: Path) -> bool:
    """Writes `folder` unless it is up to date. Returns whether it was written."""
    stamp = inputs_hash()
    if _read(folder / STAMP) == stamp:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        made = Path(temporary) / "model"
        made.mkdir()
        _write(made)
        (made / STAMP).write_text(stamp)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return True


def inputs_hash() -> str:
    """SHA-256 over this package's source files, the weights and the vocabulary."""
    digest = hashlib.sha256()
    for path in (*sorted(HERE.glob("*.py")), WEIGHTS, VOCABULARY):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _write(folder: Path) -> None:
    """Writes the folder's files. Its imports are local, since Transformers is slow to import."""
    from builder.demo.model import STOPS, config, full_weights, save
    from builder.demo.tokenizer import save_tokenizer

    config().save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(STOPS, indent=2))
    save(full_weights(), folder / "model.safetensors", {"format": "pt"})
    save_tokenizer(folder)


def _read(path: Path) -> str | None:
    return path.read_text() if path.is_file() else None


if __name__ == "__main__":
    parser = CommandParser("python -m builder.demo.build", __doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".demo-model"))
    target = parser.parse_args().folder
    print(f"{target}: {'made' if build(target) else 'already up to date'}")
