"""One verified download: resumed with HTTP Range, retried with backoff, kept only if its sha256 is right."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from pocketlm.artifacts import ArtifactError

ATTEMPTS = 5
TIMEOUT = 30.0  # seconds without a byte
BLOCK = 1 << 20
LASTING = {400, 401, 403, 404, 405, 410, 451}  # answers that a second question does not change
Report = Callable[[int, int], None]  # bytes done, bytes in all (0: unknown)


def redacted(url: str) -> str:
    """A URL without user, password, query and fragment: what may stand in a log."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return urllib.parse.urlunsplit((parts.scheme, host + port, parts.path, "", ""))


def reason(error: BaseException) -> str:
    """What went wrong, in words that hold no URL and no header."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", None) or type(inner).__name__)


def request(url: str, start: int) -> urllib.request.Request:
    """The request for everything from byte ``start``; credentials inside the URL go into a header."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ArtifactError(f"{redacted(url)}: only http and https are fetched; declare local files with kind: path")
    headers = {"User-Agent": "pocketlm", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    if parts.username:
        import base64

        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        url = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return urllib.request.Request(url, headers=headers)


def transfer(url: str, partial: Path, report: Report) -> None:
    """One attempt: append what is missing to ``partial``. Raises OSError if the connection ends early."""
    start = partial.stat().st_size if partial.exists() else 0
    try:
        response = urllib.request.urlopen(request(url, start), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the partial file is as long as the whole, or longer: its hash decides
            return
        raise
    with response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        done = start if resumed else 0
        expected = int(response.headers.get("Content-Length") or 0)
        total = done + expected if expected else 0
        with partial.open("ab" if resumed else "wb") as stream:
            while block := response.read1(BLOCK):
                stream.write(block)
                done += len(block)
                report(done, total)
    if total and done < total:
        raise OSError(f"the connection ended at {done:,} of {total:,} bytes")


def hashed(path: Path) -> str:
    """Hex sha256 of a file, or of nothing."""
    if not path.exists():
        return hashlib.sha256(b"").hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Two jobs that want the same file: the second waits, then finds it."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def download(url: str, digest: str, target: Path, report: Report = lambda d, t: None, pause: float = 1.0) -> None:
    """Fetch ``url`` into ``target`` if its bytes have this sha256; an interrupted attempt is resumed next time.

    Raises ArtifactError: a mismatch names expected and found and keeps nothing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with locked(target.with_name(target.name + ".lock")):
        if target.is_file():
            return
        resumed = partial.exists()
        fetch(url, partial, report, pause)
        found = hashed(partial)
        if found != digest and resumed:  # what lay there from before may have been something else
            partial.unlink(missing_ok=True)
            fetch(url, partial, report, pause)
            found = hashed(partial)
        if found != digest:
            partial.unlink(missing_ok=True)
            raise ArtifactError(
                f"{redacted(url)}: wrong bytes: expected sha256 {digest}, found {found}; nothing was kept. If the file "
                f"changed on purpose, pin it again with: pocketlm pin --url ..."
            )
        os.replace(partial, target)


def fetch(url: str, partial: Path, report: Report, pause: float) -> None:
    """Attempts with doubling pauses; one that made progress does not count against the limit."""
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            return transfer(url, partial, report)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == 28:
                partial.unlink(missing_ok=True)
                raise
            grown = partial.exists() and partial.stat().st_size > before
            failures = 1 if grown else failures + 1
            lasting = isinstance(error, urllib.error.HTTPError) and error.code in LASTING
            if lasting or failures >= ATTEMPTS:
                raise ConnectionError(reason(error)) from None
            time.sleep(pause * 2 ** (failures - 1))
