"""Writing token shards: documents in, flat binary files out, in bounded memory.

For each part ``p`` and split ``s``: ``s.p.bin`` (uint16, or uint32 for a vocabulary above 65,536), ``s.p.idx`` (int64
document starts, n + 1 of them), ``s.p.mask`` (uint8, chat only: 1 = loss on this token). ``token_bytes.bin`` (uint16)
holds the length of every token, so that bits per byte count exactly the bytes that were predicted.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pocketlm.artifacts import ArtifactError, write_json
from pocketlm.data.chat import SPECIALS, Chat
from pocketlm.data.documents import Document, is_validation

CHUNK = 1024  # documents encoded at a time
SPLITS = ("train", "val")
COUNTS = ("documents", "tokens", "loss_tokens", "bytes")  # bytes: those that the tokens under loss stand for
Counts = dict[str, dict[str, dict[str, int]]]  # part -> split -> COUNTS


@dataclass
class Shard:
    """One part's files of one split, while they are written."""

    stem: Path
    dtype: Any
    masked: bool
    lengths: NDArray[np.uint16]  # bytes of each token
    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    loss_tokens: int = 0

    def __post_init__(self) -> None:
        self.ids: BinaryIO = Path(f"{self.stem}.bin").open("wb")  # noqa: SIM115 - closed by close()
        self.index: BinaryIO = Path(f"{self.stem}.idx").open("wb")  # noqa: SIM115
        self.index.write(np.int64(0).tobytes())
        self.mask: BinaryIO | None = Path(f"{self.stem}.mask").open("wb") if self.masked else None  # noqa: SIM115

    def add(self, ids: Any, mask: Any) -> None:
        """Append a document: its ids, and 1 where a token is under loss (None: everywhere)."""
        tokens = np.asarray(ids, dtype=self.dtype)
        own = None if mask is None else np.asarray(mask, dtype=np.uint8)
        self.ids.write(tokens.tobytes())
        if self.mask is not None:
            self.mask.write(np.ones(len(tokens), dtype=np.uint8).tobytes() if own is None else own.tobytes())
        self.documents, self.tokens = self.documents + 1, self.tokens + len(tokens)
        self.index.write(np.int64(self.tokens).tobytes())
        learned = tokens if own is None else tokens[own != 0]
        self.bytes += int(self.lengths[learned].sum(dtype=np.int64))
        self.loss_tokens += len(learned)

    def close(self) -> dict[str, int]:
        for stream in (self.ids, self.index, self.mask):
            if stream is not None:
                stream.close()
        return {name: getattr(self, name) for name in COUNTS}


def encode_documents(chat: Chat, documents: list[Document]) -> Iterator[tuple[Any, Any]]:
    """(ids, mask) of each document: text ends with eos and is trained on whole (None), a dialogue on its answers."""
    plain = iter(chat.texts.arrays([d.text for d in documents if not d.is_chat]))
    dialogues = iter(chat.encode_batch([(d.messages, d.tools) for d in documents if d.is_chat]))
    for document in documents:
        yield next(dialogues) if document.is_chat else (np.append(next(plain), chat.eos_id), None)


def write_part(
    folder: Path, name: str, documents: Iterable[Document], chat: Chat, masked: bool, validation: float, progress: Any
) -> dict[str, dict[str, int]]:
    """Encode and write one part; returns its counts by split."""
    dtype, lengths = token_dtype(chat.vocab_size), token_bytes(chat)
    shards = {split: Shard(folder / f"{split}.{name}", dtype, masked, lengths) for split in SPLITS}
    stream = iter(documents)
    try:
        while chunk := list(itertools.islice(stream, CHUNK)):
            for document, (ids, mask) in zip(chunk, encode_documents(chat, chunk), strict=True):
                split = "val" if is_validation(document.key, validation) else "train"
                shards[split].add(ids, mask)
            progress(len(chunk))
    finally:
        counts = {split: shard.close() for split, shard in shards.items()}
    return counts


def write_parts(
    folder: Path, parts: Mapping[str, Iterable[Document]], chat: Chat, kind: str, validation: float,
    progress: Any = lambda n: None,
) -> Counts:  # fmt: skip
    """Write all parts ({name: documents}) of a corpus, or of a shard of it, into a folder; returns their counts."""
    return {
        name: write_part(folder, name, documents, chat, kind == "chat", validation, progress)
        for name, documents in parts.items()
    }


def write_meta(folder: Path, counts: Counts, weights: Mapping[str, float], chat: Chat, kind: str) -> dict[str, Any]:
    """Complete a tokens folder with ``token_bytes.bin`` and ``meta.json``; returns the meta."""
    token_bytes(chat).tofile(folder / "token_bytes.bin")
    meta = {
        "kind": kind,
        "vocab_size": chat.vocab_size,
        "dtype": np.dtype(token_dtype(chat.vocab_size)).name,
        "eos_id": chat.eos_id,
        "pad_id": chat.pad_id,
        "parts": {name: {"weight": weights[name], **counts[name]} for name in weights},
    }
    meta |= {f"{split}_{k}": total(counts, split, k) for split in SPLITS for k in COUNTS}
    refuse_empty(meta)
    write_json(folder / "meta.json", meta)
    return meta


def write_tokens(
    folder: Path, parts: Mapping[str, tuple[Iterable[Document], float]], chat: Chat, kind: str, validation: float,
    progress: Any = lambda n: None,
) -> dict[str, Any]:  # fmt: skip
    """Write all parts ({name: (documents, weight)}) of a corpus into a folder, with ``meta.json``; returns the meta."""
    streams = {name: documents for name, (documents, _) in parts.items()}
    counts = write_parts(folder, streams, chat, kind, validation, progress)
    return write_meta(folder, counts, {name: weight for name, (_, weight) in parts.items()}, chat, kind)


def join_shards(folder: Path, shards: Sequence[Path], counts: Sequence[Counts]) -> Counts:
    """Write the parts of several shards, one behind the other, into a folder; returns their counts together."""
    joined: Counts = {name: {split: dict.fromkeys(COUNTS, 0) for split in SPLITS} for name in counts[0]}
    for name, splits in joined.items():
        for split, sums in splits.items():
            stem = f"{split}.{name}"
            for ending in ("bin", "mask"):
                join_files(folder / f"{stem}.{ending}", [shard / f"{stem}.{ending}" for shard in shards])
            with (folder / f"{stem}.idx").open("wb") as index:
                index.write(np.int64(0).tobytes())
                for shard, own in zip(shards, counts, strict=True):
                    append_index(index, shard / f"{stem}.idx", sums["tokens"])
                    for key in COUNTS:
                        sums[key] += own[name][split][key]
    return joined


def join_files(target: Path, sources: Sequence[Path]) -> None:
    """Files one behind the other; nothing where there are none (a text corpus has no masks)."""
    if sources[0].is_file():
        with target.open("wb") as joined:
            for path in sources:
                with path.open("rb") as own:
                    shutil.copyfileobj(own, joined, 1 << 22)


def append_index(index: BinaryIO, path: Path, before: int) -> None:
    """A shard's document ends, moved by the tokens ``before`` it; in bounded memory."""
    with path.open("rb") as own:
        own.seek(8)
        while block := own.read(1 << 22):
            index.write((np.frombuffer(block, dtype=np.int64) + before).tobytes())


def total(counts: Counts, split: str, key: str) -> int:
    """Sum of a count over the parts."""
    return sum(part[split][key] for part in counts.values())


def refuse_empty(meta: dict[str, Any]) -> None:
    """A part without a training document, or a corpus without a validation document, is an error."""
    for name, part in meta["parts"].items():
        if not part["train"]["documents"]:
            raise ArtifactError(f"corpus part '{name}' has no training document; check its split, limit and reader")
    if not meta["val_documents"]:
        raise ArtifactError(
            f"no document of {meta['train_documents']} fell into the validation split; raise the corpus's 'validation'"
        )


def token_dtype(vocab_size: int) -> Any:
    """The narrowest type that holds every id."""
    return np.uint16 if vocab_size <= 65536 else np.uint32


def token_bytes(chat: Chat) -> NDArray[np.uint16]:
    """uint16 [vocab]: bytes of text that each token stands for; 0 for special tokens."""
    tokenizer = chat.tokenizer
    special = {id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    special |= {id for id in map(tokenizer.token_to_id, SPECIALS) if id is not None}
    byte_level = type(tokenizer.decoder).__name__ == "ByteLevel"
    out = np.zeros(chat.vocab_size, dtype=np.uint16)
    for token, id in tokenizer.get_vocab(with_added_tokens=True).items():
        if id not in special:
            out[id] = len(token) if byte_level else piece_bytes(token)
    return out


def piece_bytes(token: str) -> int:
    """Bytes of a SentencePiece-style token: ``▁`` is a space, ``<0x0A>`` one byte."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return 1
    return len(token.replace("▁", " ").encode())
