"""Tokenizers to be cut, one of each kind: byte-level BPE, SentencePiece's BPE and its Unigram, with byte fallback."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

from pocketlm.data import tokenizer as tokenizers_room

TEXTS = [
    "the cat sat on the mat and then the other cat sat there",
    "a thing is a thing and nothing else, the thing thinks",
    "Ada gave seven red balls to Bo on Monday and none on Tuesday",
] * 5
SPECIALS = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{number:02X}>" for number in range(256)]


def around(model: Any) -> Tokenizer:
    """A model between SentencePiece's ends, as Llama's first tokenizer.json has them."""
    made = Tokenizer(model)
    steps = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    made.normalizer = normalizers.Sequence(steps)
    strip = decoders.Strip(" ", 1, 0)
    made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    return made


def words(made: Tokenizer) -> list[str]:
    return [word for text in TEXTS for word in made.normalizer.normalize_str(text).replace("\u2581", " \u2581").split()]


def sentencepiece() -> Tokenizer:
    """Pieces as Llama's tokenizer.json has them: bytes behind the specials, every split of a piece a merge."""
    blank = around(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=SPECIALS, show_progress=False)
    blank.train_from_iterator(words(blank), trainer)
    description = json.loads(blank.to_str())
    learnt = [piece for piece in description["model"]["vocab"] if piece not in SPECIALS]
    order = [*SPECIALS, *BYTES, *learnt]
    vocab = {piece: id for id, piece in enumerate(order)}
    splits = [(p[:cut], p[cut:]) for p in learnt for cut in range(1, len(p)) if {p[:cut], p[cut:]} <= vocab.keys()]
    description["model"] |= {"vocab": vocab, "merges": [list(pair) for pair in splits]}
    return Tokenizer.from_str(json.dumps(description))


def unigram() -> Tokenizer:
    """Every string of a word up to six letters, scored by how often it occurs; some are never chosen."""
    blank = around(models.BPE())
    counts = Counter(
        word[a:b] for word in words(blank) for a in range(len(word)) for b in range(a + 1, min(a + 7, len(word) + 1))
    )
    total = sum(counts.values())
    learnt = [(piece, round(math.log(count / total), 4)) for piece, count in counts.most_common(140)]
    fixed = [(piece, 0.0) for piece in [*SPECIALS, *BYTES]]
    made = around(models.Unigram([*fixed, *learnt], unk_id=0, byte_fallback=True))
    made.add_special_tokens(SPECIALS)
    return made


def byte_level() -> Tokenizer:
    return tokenizers_room.train(TEXTS, 330, True, "base")


def behind(base: Tokenizer) -> Tokenizer:
    """The same with a beginning behind the vocabulary, put before every text, as Llama 3 has it."""
    base.add_special_tokens(["<|begin|>"])
    begin = [("<|begin|>", base.token_to_id("<|begin|>"))]
    template = processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=begin)
    base.post_processor = template
    return base
