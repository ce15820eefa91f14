"""What is read: the world, sources, tokenizers, corpora, tasks."""

from __future__ import annotations

import re

from pocketlm.checks.checker import Checker

SPECIALS = 6  # <|endoftext|> <|pad|> <|user|> <|assistant|> <|end|> <|system|>
SMALLEST_VOCABULARY = 256 + SPECIALS
WORLD_AT_MOST = {"people": 48, "places": 16, "objects": 24}  # names that data/world has
SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")


def world(check: Checker) -> None:
    """The embedded world deals its facts out evenly."""
    for name, most in WORLD_AT_MOST.items():
        value = getattr(check.params.world, name)
        if value % 8 or not 16 <= value <= most:
            check.refuse(f"world.{name}", f"{value}: choose a multiple of 8 from 16 to {most}")


def sources(check: Checker) -> None:
    """Every fetched byte is pinned."""
    for name, source in check.params.sources.items():
        key = f"sources.{name}"
        needs = {"url": ("url", "sha256"), "path": ("path", "sha256"), "hub": ("repo", "revision"), "embedded": ()}
        for field in needs[source.kind]:
            if not getattr(source, field):
                check.refuse(f"{key}.{field}", f"a source of kind {source.kind} needs it; see: pocketlm pin --help")
        for field, digest in (("sha256", source.sha256), *source.files.items()):
            if digest is not None and not SHA256.fullmatch(digest):
                check.refuse(f"{key}.{field}", f"{digest!r} is no sha256 (64 lower-case hex digits)")
        if source.kind == "hub" and not COMMIT.fullmatch(source.revision or ""):
            check.refuse(
                f"{key}.revision", f"{source.revision!r} is no commit (40 hex digits); see: pocketlm pin --help"
            )


def tokenizers(check: Checker) -> None:
    """Vocabularies hold the byte alphabet; what they are made from exists."""
    for name, entry in check.params.tokenizers.items():
        key = f"tokenizers.{name}"
        # what a cut one must hold depends on its base's special tokens: the stage says it
        least = {"bpe": SMALLEST_VOCABULARY, "compressed": 257}.get(entry.kind, 0)
        if entry.vocab_size < least:
            check.refuse(
                f"{key}.vocab_size",
                f"{entry.vocab_size} is below the byte alphabet and its special tokens; use at least {least}",
            )
        for corpus in entry.corpora:
            check.known(f"{key}.corpora", corpus, check.params.corpora, "corpus")
        if entry.kind in ("bpe", "compressed") and not entry.corpora:
            check.refuse(f"{key}.corpora", f"a tokenizer of kind {entry.kind} needs at least one corpus")
        if entry.kind == "imported" and not entry.path:
            check.refuse(f"{key}.path", "an imported tokenizer needs the path of its Hugging Face folder")
        if entry.kind == "compressed":
            check.known(f"{key}.base", entry.base, set(check.params.tokenizers) - {name}, "tokenizer")


def corpora(check: Checker) -> None:
    """Parts and tokenizers exist."""
    for name, corpus in check.params.corpora.items():
        key = f"corpora.{name}"
        check.known(f"{key}.tokenizer", corpus.tokenizer, check.params.tokenizers, "tokenizer")
        if not corpus.parts:
            check.refuse(f"{key}.parts", "a corpus needs at least one part")
        if not 0 < corpus.validation < 1:
            check.refuse(f"{key}.validation", f"{corpus.validation} must lie between 0 and 1, both excluded")
        for part, entry in corpus.parts.items():
            check.known(f"{key}.parts.{part}.source", entry.source, check.params.sources, "source")
        for suite in corpus.decontaminate:
            check.known(f"{key}.decontaminate", suite, check.params.suites, "suite")


def suites(check: Checker) -> None:
    """Items of tasks exist; a chance is a probability."""
    for name, suite in check.params.suites.items():
        for task, entry in suite.tasks.items():
            key = f"suites.{name}.tasks.{task}"
            check.known(f"{key}.source", entry.source, check.params.sources, "source")
            if entry.labels is not None:
                check.known(f"{key}.labels", entry.labels, check.params.sources, "source")
            if entry.chance is not None and entry.chance > 1:
                check.refuse(f"{key}.chance", f"{entry.chance} is a probability and must be at most 1")
