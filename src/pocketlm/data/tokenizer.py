"""Tokenizer entries: trained (byte-level BPE), imported, or compressed by PanGu-pi Pro's rule.

A tokenizer is a folder that transformers loads: ``tokenizer.json``, ``tokenizer_config.json`` with the chat template,
``special_tokens_map.json``, and ``pocketlm_tokenizer.json`` with what was measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlm.artifacts import ArtifactError, read_json, write_json
from pocketlm.config import ConfigError
from pocketlm.data.chat import EOS, PAD, SPECIALS, TEMPLATE

if TYPE_CHECKING:
    import tokenizers

ALPHABET = 256
SMALLEST = ALPHABET + len(SPECIALS)
CONVERT = (  # docs/data.md says what to look at then
    'convert it once: pip install sentencepiece protobuf && python -c "from transformers import AutoTokenizer as T; '
    "T.from_pretrained('{0}').save_pretrained('{0}')\""
)


def refuse_small(vocab_size: int, name: str) -> None:
    """A vocabulary below the byte alphabet cannot spell every text."""
    if vocab_size < SMALLEST:
        raise ConfigError(
            f"tokenizers.{name}.vocab_size: {vocab_size} is below {SMALLEST} (256 bytes and {len(SPECIALS)} special "
            f"tokens); choose at least {SMALLEST}"
        )


def pre_tokenizer(digits: bool) -> Any:
    """GPT-2's pre-tokenizer; with ``digits`` every digit stands alone."""
    from tokenizers import pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if not digits:
        return byte_level
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])


def blank(model: Any, digits: bool) -> tokenizers.Tokenizer:
    """A tokenizer around a BPE model, byte-level at both ends."""
    from tokenizers import Tokenizer, decoders

    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer(digits)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(texts: Iterable[str], vocab_size: int, digits: bool, name: str) -> tokenizers.Tokenizer:
    """Train byte-level BPE. The same texts give the same bytes. Raises when they do not fill the vocabulary."""
    from tokenizers import models, pre_tokenizers, trainers

    refuse_small(vocab_size, name)
    tokenizer = blank(models.BPE(), digits)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIALS, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), min_frequency=2,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    reached = tokenizer.get_vocab_size()
    if reached < vocab_size:
        raise ArtifactError(
            f"tokenizer '{name}': its corpora hold only {reached} pieces that occur twice, {vocab_size} were asked "
            f"for; set tokenizers.{name}.vocab_size to {reached} or less, or give it more text"
        )
    return tokenizer


def save(tokenizer: tokenizers.Tokenizer, folder: Path, report: dict[str, Any]) -> None:
    """Write the folder that transformers loads."""
    tokenizer.save(str(folder / "tokenizer.json"), pretty=True)
    special = {"bos_token": EOS, "eos_token": EOS, "pad_token": PAD}
    extra = {"additional_special_tokens": SPECIALS[2:]}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
        "model_max_length": 1_000_000,
    }
    write_json(folder / "tokenizer_config.json", config | special | extra)
    write_json(folder / "special_tokens_map.json", special | extra)
    write_json(folder / "pocketlm_tokenizer.json", report)


def spread(texts: Iterable[str], limit: int = 4_000_000) -> Iterator[str]:
    """The first texts, up to ``limit`` bytes of them."""
    size = 0
    for text in texts:
        yield text
        size += len(text.encode())
        if size > limit:
            return


def coverage(tokenizer: tokenizers.Tokenizer, texts: Iterable[str]) -> dict[str, Any]:
    """Bytes, tokens and bytes per token on texts."""
    from pocketlm.data.encode import Encoder

    held = list(spread(texts))
    size = sum(len(text.encode()) for text in held)
    count = sum(map(len, Encoder(tokenizer)(held)))
    return {"bytes": size, "tokens": count, "bytes_per_token": round(size / max(count, 1), 4)}


def import_folder(source: str | Path, folder: Path) -> dict[str, Any]:
    """Copy a local Hugging Face tokenizer; returns a short report."""
    from tokenizers import Tokenizer

    source = Path(source)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (source / name).is_file():
            if name == "tokenizer.json" and (bare := sorted(source.glob("*.model"))):
                raise ArtifactError(f"{bare[0]}: a bare SentencePiece model is not read; {CONVERT.format(source)}")
            raise ArtifactError(f"{source}: no {name}; an imported tokenizer is a Hugging Face folder with both files")
    names = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if not read_json(folder / "tokenizer_config.json").get("eos_token"):
        raise ArtifactError(f"{source}/tokenizer_config.json: eos_token is missing; documents need an end token")
    report = {"kind": "imported", "vocab_size": tokenizer.get_vocab_size()}
    write_json(folder / "pocketlm_tokenizer.json", report)
    return report
