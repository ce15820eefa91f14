"""A corpus entry of ``params.yaml`` with its sources' folders: documents, plain texts, evaluation items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError, Corpus, Params
from pocketlm.data.contamination import item_text, read_items
from pocketlm.data.documents import Document, is_validation
from pocketlm.data.droidcall import call_items
from pocketlm.data.readers import documents, find_file
from pocketlm.data.segments import shard_documents

Folders = dict[str, Path]


def folder_of_source(folders: Folders, source: str) -> Path:
    """The folder of a source; one that was not given is named."""
    if source not in folders:
        raise ArtifactError(f"the source '{source}' was not given; add --data results/data/{source}.manifest.json")
    return folders[source]


def streams(corpus: Corpus, folders: Folders) -> dict[str, Iterable[Document]]:
    """{part: its documents}, lazily."""
    return {name: documents(part, folder_of_source(folders, part.source)) for name, part in corpus.parts.items()}


def shard_streams(corpus: Corpus, folders: Folders, shard: int, scratch: Path) -> dict[str, Iterable[Document]]:
    """{part: the documents of one of the corpus's shards}, lazily."""
    return {
        name: shard_documents(part, folder_of_source(folders, part.source), shard, corpus.shards, scratch)
        for name, part in corpus.parts.items()
    }


def texts(document: Document) -> Iterator[str]:
    """The plain texts of a document: what a tokenizer is trained on and what is looked up."""
    if not document.is_chat:
        yield document.text
    else:
        yield from document.tools
        yield from (message["content"] for message in document.messages)


def training_texts(params: Params, names: list[str], folders: Folders) -> Iterator[str]:
    """All training texts of some corpora; what is held out for validation is left out."""
    for name in names:
        if name not in params.corpora:
            raise ConfigError(f"corpora.{name}: no such corpus; there are {', '.join(sorted(params.corpora))}")
        corpus = params.corpora[name]
        for stream in streams(corpus, folders).values():
            for document in stream:
                if not is_validation(document.key, corpus.validation):
                    yield from texts(document)


def heldout_shares(params: Params) -> dict[str, float]:
    """{source: share of its documents that training leaves out}."""
    parts = [part for corpus in params.corpora.values() for part in corpus.parts.values()]
    return {part.source: part.heldout for part in parts if part.split == "train" and part.heldout}


def suite_items(params: Params, suites: list[str], folders: Folders) -> dict[str, list[str]]:
    """{``suite/task``: the texts of its items}."""
    out: dict[str, list[str]] = {}
    for suite in suites:
        if suite not in params.suites:
            raise ConfigError(f"suites.{suite}: no such suite; correct the 'decontaminate' of the corpus")
        for name, task in params.suites[suite].tasks.items():
            path = find_file(folder_of_source(folders, task.source), task.file or None)
            if task.template == "droidcall":  # training and test rows lie in one file
                share = heldout_shares(params).get(task.source, 0.0)
                out[f"{suite}/{name}"] = [item_text(item) for item in call_items(path, share)]
            else:
                out[f"{suite}/{name}"] = read_items(path)
    return out
