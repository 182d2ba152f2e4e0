"""A Hugging Face Hub on loopback, with one model: what huggingface_hub asks of it, and faults.

It has the Hub's routes for a model's description, its list of files, and the files with their ETag,
size, commit and byte ranges. Set HF_ENDPOINT, or pass the endpoint, to use it.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

NAME = "openai/gpt-oss-20b"
COMMIT = "c0ffee" + "0" * 34


def safetensors(name: str, size: int) -> bytes:
    """A file of one tensor with `size` bytes."""
    header = json.dumps({name: {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    return len(header).to_bytes(8, "little") + header.encode() + b"w" * size


def gpt_oss_files(shard_size: int = 300_000) -> dict[str, bytes]:
    """The files of a repository like OpenAI's, with weights in three forms."""
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = {"weight_map": {f"tensor{n}": name for n, name in enumerate(names)}}
    weights = {name: safetensors(f"tensor{n}", shard_size) for n, name in enumerate(names)}
    return {
        "config.json": json.dumps({"max_position_embeddings": 131072}).encode(),
        "tokenizer.json": b"{}",
        "chat_template.jinja": b"{{ messages }}",
        "README.md": b"# gpt-oss",
        "model.safetensors.index.json": json.dumps(index).encode(),
        **weights,
        "original/model.safetensors": safetensors("original", shard_size),
        "original/config.json": b"{}",
        "metal/model.bin": b"m" * shard_size,
    }


class LoopbackHub:
    """The server. `requests` are the files that were asked for, with GET.

    `refuse`: the status, and the Hub's headers, that every request gets. `bytes_per_second`: how
    fast a file is sent. `token`: the only one that is accepted, besides none. `config`: what the
    model's description has of its config.json.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.requests: list[str] = []
        self.refuse: tuple[int, Mapping[str, str]] | None = None
        self.bytes_per_second: float | None = None
        self.token: str | None = None
        self.config: Mapping[str, Any] | None = None
        self.branches = {"main": COMMIT}
        hub = self

        class Handler(_Handler):
            served = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """From now on, connections are refused."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def asked(self, name: str) -> int:
        """How often a file was downloaded, in whole or in part."""
        return self.requests.count(name)


@contextmanager
def loopback_hub(files: Mapping[str, bytes] | None = None) -> Generator[LoopbackHub]:
    hub = LoopbackHub(gpt_oss_files() if files is None else files)
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()


class _Handler(BaseHTTPRequestHandler):
    served: ClassVar[LoopbackHub]
    protocol_version = "HTTP/1.0"  # no connection outlives the server

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, path = self.served, urlsplit(self.path).path
        authorization = self.headers.get("authorization")
        if hub.refuse is not None:
            self._refuse(*hub.refuse)
        elif hub.token and authorization not in (None, f"Bearer {hub.token}"):
            self._refuse(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif found := re.fullmatch(rf"/api/models/{NAME}(?:/revision/([^/]+))?", path):
            self._describe(found[1] or "main")
        elif re.fullmatch(rf"/api/models/{NAME}/tree/{COMMIT}", path):
            self._json([_entry(name, content) for name, content in hub.files.items()])
        elif found := re.fullmatch(rf"/{NAME}/resolve/{COMMIT}/(.+)", path):
            self._file(found[1])
        else:
            self._refuse(404, {"X-Error-Code": "RepoNotFound"})

    def _describe(self, revision: str) -> None:
        commit = revision if revision == COMMIT else self.served.branches.get(revision)
        if commit is None:
            self._refuse(404, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [{"rfilename": name} for name in self.served.files]
        described = {"id": NAME, "sha": commit, "siblings": siblings}
        config = self.served.config
        self._json(described if config is None else {**described, "config": config})

    def _file(self, name: str) -> None:
        content = self.served.files.get(name)
        if content is None:
            self._refuse(404, {"X-Error-Code": "EntryNotFound"})
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        first = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            self.served.requests.append(name)
            self._send(content[first:])

    def _send(self, content: bytes) -> None:
        rate = self.served.bytes_per_second
        if rate is None:
            self.wfile.write(content)
            return
        step = max(1, int(rate / 20))
        try:
            for at in range(0, len(content), step):
                self.wfile.write(content[at : at + step])
                time.sleep(1 / 20)
        except (BrokenPipeError, ConnectionResetError):  # the client was killed
            return

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status, HTTPStatus(status).phrase)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    """A file in a list of files; large ones are in Git LFS."""
    entry: dict[str, Any] = {
        "type": "file",
        "path": name,
        "size": len(content),
        "oid": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
    }
    if not name.endswith((".json", ".jinja", ".md")):
        lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        entry["lfs"] = lfs
    return entry
