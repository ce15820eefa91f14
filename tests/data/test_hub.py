"""Hub datasets against a small server that answers as the hub does: pin a branch, fetch at the commit, verify."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Source
from pocketlm.data import fetch, pin

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"data/train.jsonl": b'{"text": "one"}\n', "README.md": b"# A dataset\n"}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Hub(BaseHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass

    def answer(self, body: bool) -> None:
        if self.path.startswith("/api/datasets/owner/name"):
            lfs = {"sha256": sha(FILES["data/train.jsonl"]), "size": 16, "pointerSize": 1}
            siblings = [
                {"rfilename": "data/train.jsonl", "size": 16, "lfs": lfs},
                {"rfilename": "README.md", "size": 12},
            ]
            content = json.dumps({"id": "owner/name", "sha": COMMIT, "siblings": siblings}).encode()
            kind = "application/json"
        else:
            name = self.path.partition(f"/resolve/{COMMIT}/")[2].partition("?")[0]
            content, kind = FILES.get(name, b""), "application/octet-stream"
        self.send_response(200 if content else 404)
        if not content:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def do_GET(self) -> None:
        self.answer(True)

    def do_HEAD(self) -> None:
        self.answer(False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{httpd.server_address[1]}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield address
    httpd.shutdown()
    httpd.server_close()


def test_pin_then_fetch(hub: str, tmp_path: Path) -> None:
    entry = pin.pin_hub("owner/name", "main", [])
    assert entry["revision"] == COMMIT
    assert entry["files"] == {name: sha(data) for name, data in FILES.items()}
    source = Source(**entry)
    (tmp_path / "a").mkdir()
    fetch.obtain(source, "s", tmp_path / "a")
    found = {
        p.relative_to(tmp_path / "a").as_posix(): p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()
    }
    assert found == FILES


def test_wrong_hash_and_missing_file(hub: str, tmp_path: Path) -> None:
    source = Source(kind="hub", repo="owner/name", revision=COMMIT, files={"README.md": "0" * 64})
    (tmp_path / "a").mkdir()
    with pytest.raises(ArtifactError, match="expected sha256 0000.*found"):
        fetch.obtain(source, "s", tmp_path / "a")
    assert not (tmp_path / "a/README.md").exists()
    source.files = {"nothing.txt": "0" * 64}
    with pytest.raises(ArtifactError, match="HTTP 404; check repo, revision and file name"):
        fetch.obtain(source, "s", tmp_path / "a")
    with pytest.raises(ArtifactError, match="no file x; it has README.md"):
        pin.pin_hub("owner/name", "main", ["x"])
