"""Fetching against a real server on the loopback: resume, truncation, wrong bytes, mirror, cache, credentials."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError, Source
from pocketlm.data import fetch, network, pin

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """``/whole`` serves with Range, ``/short`` stops half way, ``/wrong`` serves other bytes."""

    requests: list[tuple[str, str, str]] = []

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        Handler.requests.append((self.path, wanted, self.headers.get("Authorization", "")))
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        if self.path.startswith("/busy") and len(Handler.requests) < 3:
            self.send_error(503)
            return
        body = CONTENT[::-1] if self.path.startswith("/wrong") else CONTENT
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not self.path.startswith("/norange") else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        short = self.path.startswith("/short")
        self.wfile.write(body[start : start + 300_000] if short else body[start:])


@pytest.fixture
def server() -> Iterator[str]:
    Handler.requests = []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.time, "sleep", lambda seconds: None)


def url_source(url: str, digest: str = DIGEST) -> Source:
    return Source(kind="url", url=url, sha256=digest, license="MIT")


def nothing_left(folder: Path) -> bool:
    return not [p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".lock")]


def test_download_then_cache(server: str, tmp_path: Path) -> None:
    source = url_source(f"http://{server}/whole/data.bin")
    fetch.obtain(source, "s", tmp_path / "a")
    fetch.obtain(source, "s", tmp_path / "b")
    assert (tmp_path / "a/data.bin").read_bytes() == (tmp_path / "b/data.bin").read_bytes() == CONTENT
    assert len(Handler.requests) == 1  # the second came from the cache


def test_damaged_cache_is_fetched_again(server: str, tmp_path: Path) -> None:
    source = url_source(f"http://{server}/whole/data.bin")
    fetch.obtain(source, "s", tmp_path / "a")
    (tmp_path / "cache/downloads" / DIGEST).write_bytes(b"damaged")
    fetch.obtain(source, "s", tmp_path / "b")
    assert (tmp_path / "b/data.bin").read_bytes() == CONTENT


def test_truncated_download_is_resumed(server: str, tmp_path: Path) -> None:
    fetch.obtain(url_source(f"http://{server}/short/data.bin"), "s", tmp_path / "a")
    assert (tmp_path / "a/data.bin").read_bytes() == CONTENT
    assert [wanted for _, wanted, _ in Handler.requests] == ["", "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_interrupted_process_is_resumed(server: str, tmp_path: Path) -> None:
    partial = tmp_path / "cache/downloads" / f"{DIGEST}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:777])
    fetch.obtain(url_source(f"http://{server}/whole/data.bin"), "s", tmp_path / "a")
    assert Handler.requests[0][1] == "bytes=777-"
    assert (tmp_path / "a/data.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("held", [b"something else entirely", CONTENT + b"too long", CONTENT])
def test_foreign_or_complete_partial(server: str, tmp_path: Path, held: bytes) -> None:
    partial = tmp_path / "cache/downloads" / f"{DIGEST}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(held)
    fetch.obtain(url_source(f"http://{server}/whole/data.bin"), "s", tmp_path / "a")
    assert (tmp_path / "a/data.bin").read_bytes() == CONTENT


def test_server_without_range(server: str, tmp_path: Path) -> None:
    partial = tmp_path / "cache/downloads" / f"{DIGEST}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:777])
    fetch.obtain(url_source(f"http://{server}/norange/data.bin"), "s", tmp_path / "a")
    assert (tmp_path / "a/data.bin").read_bytes() == CONTENT


def test_busy_server_is_asked_again(server: str, tmp_path: Path) -> None:
    fetch.obtain(url_source(f"http://{server}/busy/data.bin"), "s", tmp_path / "a")
    assert len(Handler.requests) == 3


def test_wrong_bytes_name_both_hashes_and_keep_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as error:
        fetch.obtain(url_source(f"http://{server}/wrong/data.bin"), "s", tmp_path / "a")
    assert DIGEST in str(error.value) and hashlib.sha256(CONTENT[::-1]).hexdigest() in str(error.value)
    assert nothing_left(tmp_path)


def test_lasting_refusal_is_not_repeated(server: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"HTTP 404.*POCKETLM_MIRROR"):
        fetch.obtain(url_source(f"http://{server}/missing"), "s", tmp_path / "a")
    assert len(Handler.requests) == 1


def test_no_network_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot be fetched.*no mirror is set; set POCKETLM_MIRROR"):
        fetch.obtain(url_source("http://127.0.0.1:9/data.bin"), "s", tmp_path / "a")
    assert nothing_left(tmp_path)


def test_mirror_comes_first_and_goes_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "mirror/deep"
    mirror.mkdir(parents=True)
    (mirror / "other-name").write_bytes(CONTENT)
    (mirror / "data.bin").write_bytes(b"the right name, the wrong bytes")
    monkeypatch.setenv("POCKETLM_MIRROR", str(tmp_path / "mirror"))
    about = fetch.obtain(url_source("http://127.0.0.1:9/data.bin"), "s", tmp_path / "a")
    assert (tmp_path / "a/data.bin").read_bytes() == CONTENT
    assert about["license"] == "MIT"
    # a remembered hash must not outlive the bytes
    (mirror / "other-name").write_bytes(b"changed")
    with pytest.raises(ArtifactError, match="POCKETLM_MIRROR holds no file"):
        fetch.obtain(url_source("http://127.0.0.1:9/data.bin"), "s", tmp_path / "b")


def test_missing_mirror_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETLM_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(ArtifactError, match=f"POCKETLM_MIRROR names {tmp_path}/nowhere, which is no folder; correct"):
        fetch.obtain(url_source("http://127.0.0.1:9/data.bin"), "s", tmp_path / "a")


def test_path_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x/here.bin"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    source = Source(kind="path", path=str(file), sha256=DIGEST)
    fetch.obtain(source, "s", tmp_path / "a")
    assert (tmp_path / "a/here.bin").read_bytes() == CONTENT
    file.write_bytes(b"changed")
    with pytest.raises(ArtifactError, match=f"expected sha256 {DIGEST}, found"):
        fetch.obtain(source, "s", tmp_path / "b")
    file.unlink()
    with pytest.raises(ArtifactError, match=r"does not exist and no mirror is set; set POCKETLM_MIRROR"):
        fetch.obtain(source, "s", tmp_path / "b")
    shutil.copytree(tmp_path / "a", tmp_path / "mirror")
    monkeypatch.setenv("POCKETLM_MIRROR", str(tmp_path / "mirror"))
    fetch.obtain(source, "s", tmp_path / "b")
    assert (tmp_path / "b/here.bin").read_bytes() == CONTENT


def test_credentials_reach_the_server_and_no_message(server: str, tmp_path: Path) -> None:
    secret = f"http://user:s3cret@{server}/wrong/data.bin?token=t0ken"
    with pytest.raises(ArtifactError) as error:
        fetch.obtain(url_source(secret), "s", tmp_path / "a")
    assert Handler.requests[0][2].startswith("Basic ")
    about = fetch.about(url_source(secret), "s")
    for word in ("s3cret", "t0ken", "user"):
        assert word not in str(error.value) and word not in str(about)
    with pytest.raises(ArtifactError) as error:
        fetch.obtain(url_source("http://user:s3cret@127.0.0.1:9/x?token=t0ken"), "s", tmp_path / "a")
    assert "s3cret" not in str(error.value) and "t0ken" not in str(error.value)


def test_refused_entries(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sources\.s\.sha256"):
        fetch.obtain(Source(kind="url", url="http://x/y"), "s", tmp_path)
    with pytest.raises(ArtifactError, match="only http and https"):
        fetch.obtain(url_source("file:///etc/hostname"), "s", tmp_path)
    with pytest.raises(ConfigError, match=r"sources\.s\.revision: 'main' is not a commit.*pocketlm pin"):
        fetch.obtain(Source(kind="hub", repo="a/b", revision="main", files={"x": DIGEST}), "s", tmp_path)
    with pytest.raises(ConfigError, match="leads out of"):
        fetch.safe_name("../x")


def test_pin(server: str, tmp_path: Path) -> None:
    assert pin.pin_url(f"http://{server}/whole")["sha256"] == DIGEST
    (tmp_path / "f").write_bytes(CONTENT)
    assert pin.pin_path(str(tmp_path / "f"))["sha256"] == DIGEST
    with pytest.raises(ArtifactError, match="HTTP 404"):
        pin.pin_url(f"http://{server}/missing")
