"""The folder of a cut tokenizer: special tokens, settings and chat template are those of its base's folder.

A base may be of any origin: Llama's has ``<s>`` and ``</s>`` and no ``<|endoftext|>``, another brings a template of its
own. What names files that a cut tokenizer does not have, or ids of the base, is changed or left out.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlm.artifacts import ArtifactError, read_json, write_json
from pocketlm.data.chat import token_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")  # classes that read tokenizer.json as it is
LOST = ("auto_map", "vocab_file", "merges_file", "tokenizer_file", "unk_id")
LISTS = ("additional_special_tokens", "extra_special_tokens")


def named_tokens(folder: Path) -> set[str]:
    """The special tokens that a tokenizer folder names: its beginning, end, padding and others."""
    found: list[Any] = []
    for config in (read_json(folder / "tokenizer_config.json"), special_map(folder)):
        found += [value for key, value in config.items() if key.endswith("_token") and isinstance(value, str | dict)]
        for name in LISTS:
            more = config.get(name) or []
            found += more.values() if isinstance(more, dict) else more
    return {token_text(token) for token in found} - {""}


def special_map(folder: Path) -> dict[str, Any]:
    """``special_tokens_map.json``, which older folders have; it may name tokens that the other file does not."""
    path = folder / "special_tokens_map.json"
    found: dict[str, Any] = read_json(path) if path.is_file() else {}
    return found


def cut_config(config: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    """``tokenizer_config.json`` of the base for the vocabulary ``ids``.

    A model's own class would build its pipeline anew from its files; the cut one stands in ``tokenizer.json``.
    """
    found = {key: value for key, value in config.items() if key not in LOST}
    if found.get("tokenizer_class") not in GENERIC:
        found["tokenizer_class"] = GENERIC[0]
    if found.get("added_tokens_decoder"):
        tokens = [(ids.get(token_text(token)), token) for token in found["added_tokens_decoder"].values()]
        found["added_tokens_decoder"] = {str(id): token for id, token in tokens if id is not None}
    return found


def save_cut(tokenizer: Tokenizer, base: Path, folder: Path, report: dict[str, Any]) -> None:
    """Write the folder of a tokenizer that was cut from the one in ``base``. Raises ArtifactError without an end."""
    config, ids = read_json(base / "tokenizer_config.json"), tokenizer.get_vocab(with_added_tokens=True)
    eos = token_text(config.get("eos_token"))
    if eos not in ids:
        reason = f"eos_token {eos!r} is not in its tokenizer.json" if eos else "eos_token is missing"
        raise ArtifactError(f"{base}/tokenizer_config.json: {reason}; documents need an end token")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=True)
    write_json(folder / "tokenizer_config.json", cut_config(config, ids))
    write_json(folder / "pocketlm_tokenizer.json", report)
    for name in ("special_tokens_map.json", "chat_template.jinja"):
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
