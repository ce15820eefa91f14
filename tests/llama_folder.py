"""A small model folder made by transformers: the independent reference of the quantization and scoring tests."""

from __future__ import annotations

import json
from pathlib import Path

from pocketlm.config import Architecture
from pocketlm.data import tokenizer as tokenizers_room

TEXT = [
    "Anna has 12 red apples. Ben has 7 green ones, and it's Monday.",
    "The ball is in the kitchen; Carla wants to buy the ball for 35 coins.",
    "Set an alarm for 7:30 and call it gym. Question: where is the ball? Answer: in the kitchen.",
]
ARCHITECTURE = {
    "n_layers": 2, "d_model": 64, "n_heads": 4, "n_kv_heads": 2, "head_dim": 16, "d_ff": 160, "max_seq_len": 96,
}  # fmt: skip


def make(
    folder: Path, seed: int = 0, tied: bool = True, vocab_size: int = 320, digits: bool = True, **changes: int
) -> Path:
    """Write a LlamaForCausalLM with random weights (large enough to matter), a tokenizer and pocketlm.json."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    architecture = Architecture(**(ARCHITECTURE | {"tied": tied} | changes))
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size, hidden_size=architecture.d_model, intermediate_size=architecture.d_ff,
        num_hidden_layers=architecture.n_layers, num_attention_heads=architecture.n_heads,
        num_key_value_heads=architecture.n_kv_heads, head_dim=architecture.head_dim,
        max_position_embeddings=architecture.max_seq_len, rms_norm_eps=architecture.norm_eps,
        rope_theta=architecture.rope_theta, tie_word_embeddings=tied, initializer_range=0.15,
        bos_token_id=0, eos_token_id=0, pad_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    made = tokenizers_room.train(TEXT * 3, vocab_size, digits, "test")
    tokenizers_room.save(made, folder, {})
    about = {"architecture": vars(architecture), "vocab_size": vocab_size, "phase": "call", "scheme": "bf16"}
    (folder / "pocketlm.json").write_text(json.dumps(about))
    return folder
