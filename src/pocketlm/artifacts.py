"""Writing artefacts: atomic files and folders, canonical JSON, manifests, hashes.

An artefact is a file, or a folder with a sibling ``<name>.manifest.json`` that holds the sha256 of every member.
Consumers depend on the manifest: engines do not see into folders in the same way. No time, path or host is inside.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

IGNORED = {".snakemake_timestamp"}
FULL = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "larger than a file may be here (ulimit -f)",
}


class ArtifactError(RuntimeError):
    """An artefact that is missing, damaged or cannot be written."""


def full(error: BaseException) -> str | None:
    """What is full if that is this error's cause, else None.

    safetensors and tokenizers (in Rust) and numpy's ``tofile`` raise errors that hold the code in their text only.
    """
    if isinstance(error, OSError) and error.errno in FULL:
        return FULL[error.errno]
    named = re.search(r"os error (\d+)", str(error))
    if named and int(named[1]) in FULL:
        return FULL[int(named[1])]
    return "the disk took no more" if re.search(r"\d+ requested and \d+ written", str(error)) else None


def refuse_full(path: Path, error: Exception) -> None:
    """Raise ArtifactError if a full disk is the cause of the error."""
    if what := full(error):
        raise ArtifactError(f"{path}: {what}; nothing was written under this name; free space and run again") from None


def sha256(path: str | Path) -> str:
    """Hex sha256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(data: Any) -> str:
    """Canonical JSON: sorted keys, one trailing newline, no NaN (use None)."""
    return json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def digest(data: Any) -> str:
    """Hex sha256 of the canonical JSON of plain data."""
    return hashlib.sha256(canonical(data).encode()).hexdigest()


def read_json(path: str | Path) -> Any:
    """Parse a JSON file; a damaged one is named."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; make it with: snakemake {path}") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: damaged JSON ({error}); delete it and run snakemake again") from None


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path that becomes ``path`` when the block ends well, and vanishes otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except Exception as error:
        refuse_full(path, error)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, UTF-8, Unix line ends."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, data: Any) -> None:
    """Write canonical JSON atomically."""
    write_text(path, canonical(data))


def write_jsonl(path: str | Path, rows: Iterator[Any] | list[Any]) -> int:
    """Write one compact JSON document a line, atomically; returns the number of rows."""
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def read_jsonl(path: str | Path) -> Iterator[Any]:
    """Yield the documents of a jsonl file; a bad line is named."""
    with Path(path).open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise ArtifactError(f"{path}: line {number} is not JSON ({error})") from None


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder that replaces ``path`` when the block ends well, and vanishes otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    except Exception as error:
        refuse_full(path, error)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def members(folder: str | Path) -> dict[str, str]:
    """{relative POSIX path: sha256} of every file in a folder, sorted."""
    folder = Path(folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in IGNORED)
    return {p.relative_to(folder).as_posix(): sha256(p) for p in files}


def write_manifest(folder: str | Path, manifest: str | Path, **about: Any) -> dict[str, Any]:
    """Write the manifest of a folder: ``{"files": {name: sha256}, "sha256": digest, **about}``."""
    files = members(folder)
    data = {"files": files, "sha256": digest(files), **about}
    write_json(manifest, data)
    return data


def check_manifest(folder: str | Path, manifest: str | Path) -> dict[str, Any]:
    """The manifest's data, after its folder was found to hold exactly these bytes. Raises ArtifactError."""
    data = read_json(manifest)
    found = members(folder)
    for name in sorted(data["files"].keys() | found.keys()):
        want, have = data["files"].get(name, "nothing"), found.get(name, "nothing")
        if want != have:
            raise ArtifactError(
                f"{Path(folder) / name}: changed since it was made: expected {want}, found {have}; "
                f"make it again: rm -r {folder} && snakemake {manifest}"
            )
    return data


def folder_of(manifest: str | Path) -> Path:
    """The folder beside ``<name>.manifest.json``."""
    path = Path(manifest)
    return path.with_name(path.name.removesuffix(".manifest.json"))
