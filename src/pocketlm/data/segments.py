"""A part of a corpus cut into shards: the lines that begin in an even share of the file's bytes.

Consecutive shards hold consecutive documents, so that they joined in order are what one reading of the file gives,
whatever their number. A reader that needs the whole file (documents over several lines, a choice among all of them)
cannot be cut: its first shard takes everything.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Part
from pocketlm.data.documents import Document
from pocketlm.data.readers import documents, find_file

LINEWISE = {"text", "passages", "lines", "messages", "alpaca", "gsm8k", "gsm8k_text"}
CHUNK = 1 << 20


def can_be_cut(part: Part) -> bool:
    """Whether a document of this part is a function of one line of its file."""
    return part.reader in LINEWISE and part.limit is None


def line_start(stream: BinaryIO, position: int) -> int:
    """The first place at or after ``position`` where a line begins, or the end of the file."""
    if position == 0:
        return 0
    stream.seek(position - 1)
    stream.readline()
    return stream.tell()


def segment(path: Path, shard: int, shards: int) -> tuple[int, int]:
    """(first, end) bytes of the lines that begin in this shard's share of a file."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        return line_start(stream, size * shard // shards), line_start(stream, size * (shard + 1) // shards)


def copy_bytes(source: BinaryIO, target: BinaryIO, count: int) -> None:
    """Copy ``count`` bytes in bounded memory."""
    while count > 0 and (block := source.read(min(count, CHUNK))):
        target.write(block)
        count -= len(block)


def shard_documents(part: Part, folder: Path, shard: int, shards: int, scratch: Path) -> Iterator[Document]:
    """The documents of one shard of a part, lazily; its lines lie in ``scratch`` while they are read."""
    if not can_be_cut(part):
        if shard == 0:
            yield from documents(part, folder)
        return
    path = find_file(folder, part.file)
    first, end = segment(path, shard, shards)
    with tempfile.TemporaryDirectory(dir=scratch) as own:
        lines = Path(own) / path.name
        with path.open("rb") as source, lines.open("wb") as target:
            source.seek(first)
            copy_bytes(source, target, end - first)
        try:
            yield from documents(replace(part, file=lines.name), lines.parent)
        except ArtifactError as error:
            raise ArtifactError(str(error).replace(str(lines), f"{path}, from its byte {first:,}")) from None
