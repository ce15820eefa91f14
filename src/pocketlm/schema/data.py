"""What is read: the embedded world, sources, corpora, tokenizers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional


@dataclass
class World:
    """Size of the embedded world (``data/world``). Same seed, same bytes on every machine."""

    seed: int = 0
    people: int = 32
    places: int = 16
    objects: int = 24
    stories: int = 24000
    dialogues: int = 6000
    calls: int = 12000
    items: int = 300  # held-out items of each task


@dataclass
class Source:
    """A named dataset with pinned content."""

    kind: str = "url"  # url | path | hub | embedded
    url: Optional[str] = None
    sha256: Optional[str] = None  # of the file (url, path)
    path: Optional[str] = None  # path sources: file name, looked up in the mirror by sha256 if it is not there
    repo: Optional[str] = None  # hub sources
    revision: Optional[str] = None  # hub sources: a commit, never a branch
    files: Dict[str, str] = field(default_factory=dict)  # hub sources: file -> sha256
    license: str = ""
    origin: str = ""


@dataclass
class Part:
    """One part of a corpus: a file of a source, read by a reader of ``data/readers.py``."""

    source: str = ""
    reader: str = "text"
    file: Optional[str] = None  # inside the source's folder; default its only file
    weight: float = 1.0  # share of the training tokens drawn from this part
    limit: Optional[int] = None  # keep at most so many documents
    split: str = "all"  # all | train | heldout: by a hash of the document's key
    heldout: float = 0.0  # share of documents in the held-out split


@dataclass
class Corpus:
    """A weighted mixture of sources for one training phase."""

    tokenizer: str = ""
    kind: str = "text"  # text: {"text"}; chat: {"messages", "tools"?}, loss on assistant tokens only
    parts: Dict[str, Part] = field(default_factory=dict)
    validation: float = 0.02  # share of documents held out for the validation loss, by hash
    decontaminate: List[str] = field(default_factory=list)  # suites whose prompts are looked up (13-grams)
    shards: int = 1  # jobs that encode it side by side; the tokens do not depend on it


@dataclass
class Tokenizer:
    kind: str = "bpe"  # bpe | imported | compressed
    vocab_size: int = 1024
    corpora: List[str] = field(default_factory=list)  # text that it is trained on (bpe) or counted on (compressed)
    digits: bool = True  # every digit a token of its own
    path: Optional[str] = None  # imported: a local Hugging Face folder
    base: Optional[str] = None  # compressed: the tokenizer entry that is cut down
