"""Whatever holds an id follows the cut; sizes below the specials and bytes are refused."""

from __future__ import annotations

import json

import pytest
from cut_bases import TEXTS, behind, byte_level, sentencepiece, unigram
from tokenizers import AddedToken, Tokenizer, processors

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError
from pocketlm.data.compress import compress
from pocketlm.data.kept_pieces import alphabet

BASES = [byte_level, sentencepiece, unigram]


@pytest.mark.parametrize("base", BASES)
def test_a_beginning_behind_the_vocabulary(base) -> None:  # type: ignore[no-untyped-def]
    """Llama 3's kind: what encode puts before a text is the beginning's new id, one that the vocabulary has."""
    small, report = compress(behind(base()), TEXTS, 300, "small")
    ids = small.encode(TEXTS[0]).ids
    assert ids[0] == small.token_to_id("<|begin|>") == 299 and max(ids) < small.get_vocab_size() == 300
    assert report["kept_ids"][-1] == base().get_vocab_size()
    assert "<|begin|>" not in str(json.loads(small.to_str())["model"]["vocab"])
    assert small.encode("a", "b").ids.count(299) == 1


@pytest.mark.parametrize("kind", [processors.RobertaProcessing, processors.BertProcessing])
@pytest.mark.parametrize("nested", [False, True])
def test_ends_of_the_other_kinds(kind, nested: bool) -> None:  # type: ignore[no-untyped-def]
    base = byte_level()
    base.add_special_tokens(["<begin>", "<end>"])
    ends = kind(("<end>", base.token_to_id("<end>")), ("<begin>", base.token_to_id("<begin>")))
    base.post_processor = processors.Sequence([processors.ByteLevel(), ends]) if nested else ends
    small, _ = compress(base, TEXTS, 300, "small")
    assert small.encode("the cat").tokens[:: len(small.encode("the cat").ids) - 1] == ["<begin>", "<end>"]
    assert small.encode("the cat").ids[:: len(small.encode("the cat").ids) - 1] == [298, 299]


def test_padding() -> None:
    """The piece that pads stays, were it a rare one, and its id is the new one."""
    base = sentencepiece()
    base.add_tokens([AddedToken("<fill>", special=False)])
    base.enable_padding(pad_id=base.token_to_id("<fill>"), pad_token="<fill>")
    small, _ = compress(base, TEXTS, 300, "small")
    assert small.padding["pad_id"] == small.token_to_id("<fill>") == 299
    assert small.encode_batch(["a", "the other thing"])[0].ids[-1] == 299


def test_an_id_without_a_piece_is_named() -> None:
    description = json.loads(byte_level().to_str())
    description["post_processor"] = {"type": "BertProcessing", "sep": ["<x>", 9999], "cls": ["<x>", 9999]}
    with pytest.raises(ArtifactError, match="holds the id 9999, which is no piece"):
        compress(Tokenizer.from_str(json.dumps(description)), TEXTS, 300, "small")


def test_a_size_below_specials_and_bytes_is_refused() -> None:
    """Six specials of ours and 40 more, 256 bytes: 302, and exactly that many can be had."""
    base = byte_level()
    base.add_special_tokens([f"<|reserved_{number}|>" for number in range(40)])
    with pytest.raises(ConfigError, match=r"tokenizers\.small\.vocab_size: 270 is below 302 .*choose at least 302"):
        compress(base, TEXTS, 270, "small")
    assert compress(base, TEXTS, 302, "small")[0].get_vocab_size() == 302
    with pytest.raises(ConfigError, match="choose at least 259"):  # <unk>, <s>, </s>
        compress(sentencepiece(), TEXTS, 258, "small")
    assert compress(sentencepiece(), TEXTS, 259, "small")[0].get_vocab_size() == 259


def test_letters_are_bytes_only_where_they_stand_for_them() -> None:
    """A vocabulary with byte fallback that has GPT-2's letters as letters keeps its bytes, not those."""
    description = json.loads(sentencepiece().to_str())
    letters = alphabet(json.loads(byte_level().to_str()))
    vocab = description["model"]["vocab"]
    for letter in sorted((letters or set()) - vocab.keys()):
        vocab[letter] = len(vocab)
    assert alphabet(description) == {f"<0x{number:02X}>" for number in range(256)}
    description["model"]["byte_fallback"] = False
    assert alphabet(description) is None


def test_no_merge_makes_a_control_token() -> None:
    """Converted vocabularies may spell ``</s>`` by merges: text would end a document."""
    description = json.loads(sentencepiece().to_str())
    model = description["model"]
    for piece in ("<", "/", "s>", "</", ">"):
        model["vocab"].setdefault(piece, len(model["vocab"]))
    model["merges"] += [["<", "/"], ["s", ">"], ["</", "s>"]]
    base = Tokenizer.from_str(json.dumps(description))
    base.add_special_tokens(["</s>"])
    base.encode_special_tokens = True
    assert base.token_to_id("</s>") in base.encode("x</s>").ids
    small, _ = compress(base, [*TEXTS, "</ s>" * 99], 300, "small")
    assert {"</", "s>"} <= small.get_vocab().keys()
    small.encode_special_tokens = True
    assert small.token_to_id("</s>") not in small.encode("x</s>").ids


def test_words_that_need_no_merges_stay() -> None:
    """Llama 3 looks a word up before it merges: a frequent word that no merges lead to is kept and found."""
    description = json.loads(byte_level().to_str())
    model, word = description["model"], "\u0120Monday"
    model["ignore_merges"] = True
    model["merges"] = [[a, b] for a, b in model["merges"] if a + b not in word]
    model["vocab"].setdefault(word, len(model["vocab"]))
    base = Tokenizer.from_str(json.dumps(description))
    assert word in base.encode(TEXTS[2]).tokens
    small, _ = compress(base, [*TEXTS, "on Monday" * 99], 310, "small")
    assert word in small.encode(TEXTS[2]).tokens
