"""What GGUF needs of a tokenizer folder: the token list by id, special ids, the chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, read_json

TURN_END = "<|end|>"


def vocabulary(tokenizer: dict[str, Any], vocab_size: int) -> tuple[list[str], list[bool | None]]:
    """(token by id, kind by id: None normal, True control, False unused filler) up to the model's vocabulary."""
    by_id = {index: token for token, index in tokenizer["model"]["vocab"].items()}
    control: dict[int, bool] = {}
    for added in tokenizer.get("added_tokens", []):
        by_id[added["id"]] = added["content"]
        control[added["id"]] = True
    if max(by_id) >= vocab_size:
        raise ArtifactError(f"tokenizer.json has {max(by_id) + 1} tokens, the model's embedding only {vocab_size} rows")
    tokens = [by_id.get(i, f"[unused{i}]") for i in range(vocab_size)]
    return tokens, [control.get(i) if i in by_id else False for i in range(vocab_size)]


def ends(folder: Path, tokenizer: dict[str, Any]) -> dict[str, Any]:
    """{eos, turn, pad: ids, template}; the end of a turn is the end of a document where there is no own token."""
    config = read_json(folder / "tokenizer_config.json")
    ids = dict(tokenizer["model"]["vocab"]) | {t["content"]: t["id"] for t in tokenizer.get("added_tokens", [])}
    eos = _text(config.get("eos_token"))
    if eos not in ids:
        raise ArtifactError(f"{folder}/tokenizer_config.json: eos_token {eos!r} is not in tokenizer.json")
    file = folder / "chat_template.jinja"
    template = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
    pad = ids.get(_text(config.get("pad_token")), ids[eos])
    return {"eos": ids[eos], "turn": ids.get(TURN_END, ids[eos]), "pad": pad, "template": template}


def _text(token: Any) -> str:
    return token.get("content", "") if isinstance(token, dict) else token or ""
