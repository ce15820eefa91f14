"""Stage ``tokenize``: encode one corpus into token shards, and look evaluation items up in its training text."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlm import artifacts, config
from pocketlm.stages.tokenizer import folders_of

if TYPE_CHECKING:
    from pocketlm.data.contamination import Contamination
    from pocketlm.data.documents import Document


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm tokenize``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--entry", required=True, help="name in corpora: of params.yaml")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="manifests of its sources and of the tasks")
    parser.add_argument("--tokenizer", type=Path, required=True, help="manifest of the tokenizer folder")
    add_outputs(parser)


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """What a corpus's tokens are written to."""
    parser.add_argument("--out", type=Path, required=True, help="tokens folder to write")
    parser.add_argument("--manifest", type=Path, required=True, help="its manifest")
    parser.add_argument("--contamination", type=Path, required=True, help="13-gram overlap by task, JSON")


def run(args: argparse.Namespace) -> None:
    """Write the tokens folder, its manifest and the contamination report."""
    params, corpus = entry_of(args)
    from pocketlm.data import corpora
    from pocketlm.data.chat import Chat
    from pocketlm.data.contamination import Contamination
    from pocketlm.data.tokens import write_meta, write_parts

    folders = folders_of(args.data)
    artifacts.check_manifest(artifacts.folder_of(args.tokenizer), args.tokenizer)
    check = Contamination(corpora.suite_items(params, corpus.decontaminate, folders))
    streams = corpora.streams(corpus, folders)
    parts = {name: watched(stream, check, corpus.validation) for name, stream in streams.items()}
    with artifacts.atomic_folder(args.out) as folder:
        chat = Chat(artifacts.folder_of(args.tokenizer))
        counts = write_parts(folder, parts, chat, corpus.kind, corpus.validation, counter(f"tokenize {args.entry}"))
        meta = write_meta(folder, counts, weights(corpus), chat, corpus.kind)
        refuse_small(params, args, folder)
    artifacts.write_json(args.contamination, check.report())
    finish(args, meta)


def entry_of(args: argparse.Namespace) -> tuple[config.Params, config.Corpus]:
    """The run's parameters and this corpus; ConfigError names what is missing."""
    params = config.load(args.params)
    if args.entry not in params.corpora:
        known = ", ".join(sorted(params.corpora))
        raise config.ConfigError(f"{args.params}: corpora.{args.entry}: no such corpus; there are {known}")
    return params, params.corpora[args.entry]


def weights(corpus: config.Corpus) -> dict[str, float]:
    """{part: its weight}."""
    return {name: part.weight for name, part in corpus.parts.items()}


def finish(args: argparse.Namespace, meta: dict[str, Any]) -> None:
    """The manifest of the tokens folder, and a line that says what is in it."""
    tokenizer = artifacts.read_json(args.tokenizer)["sha256"]
    artifacts.write_manifest(args.out, args.manifest, tokenizer=tokenizer, train_tokens=meta["train_tokens"])
    size, own = meta["train_bytes"], meta["train_loss_tokens"]
    print(
        f"tokenize {args.entry}: {meta['train_documents']:,} documents, {meta['train_tokens']:,} training tokens, "
        f"{own:,} under loss at {size / max(own, 1):.2f} bytes each, {meta['val_tokens']:,} held out -> {args.out}",
        file=sys.stderr,
    )


def watched(stream: Iterable[Document], check: Contamination, validation: float) -> Iterator[Document]:
    """The documents, while training text is looked up."""
    from pocketlm.data.corpora import texts
    from pocketlm.data.documents import is_validation

    for document in stream:
        if not is_validation(document.key, validation):
            for text in texts(document):
                check.look(text)
        yield document


def counter(label: str) -> Any:
    """Progress in documents: how many there are is not known before."""
    done, printed = 0, time.monotonic()

    def progress(count: int) -> None:
        nonlocal done, printed
        done += count
        if time.monotonic() - printed >= 5:
            printed = time.monotonic()
            print(f"{label}: {done:,} documents", file=sys.stderr)

    return progress


def refuse_small(params: config.Params, args: argparse.Namespace, folder: Path) -> None:
    """A corpus that does not fill one batch of a plan that uses it is refused now, not after the search."""
    from pocketlm.data.reader import TokenReader

    for name, plan in sorted(params.plans.items()):
        if plan.corpus == args.entry:
            try:
                TokenReader(folder, "train", plan.seq_len, plan.batch_size)
            except artifacts.ArtifactError as error:
                reason = str(error).partition(": ")[2]
                raise artifacts.ArtifactError(f"corpus {args.entry} is too small for plans.{name}: {reason}") from None
