"""Every text comes back from a cut tokenizer, of each kind; literal control tokens in it stay text."""

from __future__ import annotations

import pytest
from cut_bases import BYTES, SPECIALS, TEXTS, byte_level, sentencepiece, unigram
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pocketlm.data.compress import compress
from pocketlm.data.encode import Encoder, byte_of

SIZES = {"byte_level": 290, "sentencepiece": 300, "unigram": 300}
BASES = {"byte_level": byte_level, "sentencepiece": sentencepiece, "unigram": unigram}
LITERAL = ["<0x41>", "</s>", "a<s>b", "<unk><s><0x0A>", "<|end|>"]
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
FROM_BYTES = st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "replace")) | st.binary(max_size=60).map(
    lambda raw: raw.decode("latin-1")
)
MIXED = st.lists(st.sampled_from([*LITERAL, "the", " ", "\n", "é", "\U0001f642"]), max_size=8).map("".join)
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=sorted(BASES))
def cut(request: pytest.FixtureRequest) -> tuple[str, Tokenizer]:
    return request.param, compress(BASES[request.param](), TEXTS, SIZES[request.param], "small")[0]


def comes_back(kind: str, small: Tokenizer, text: str) -> None:
    if kind != "byte_level":  # where the sign for a space is a character, it is a space
        text = text.replace("\u2581", " ")
    ids = Encoder(small)([text])[0]
    assert small.decode(ids, skip_special_tokens=False) == text
    assert all(id < small.get_vocab_size() for id in ids)
    if kind == "sentencepiece":  # the letters of a control token are letters
        assert not {small.token_to_id(token) for token in SPECIALS} & set(ids)


@QUICK
@given(UNICODE | FROM_BYTES | MIXED)
@example("<0x41></s> <unk>")
def test_every_text_comes_back(cut: tuple[str, Tokenizer], text: str) -> None:
    comes_back(*cut, text)


def test_every_byte_is_a_piece(cut: tuple[str, Tokenizer]) -> None:
    """So that any string of bytes can be spelled, whether it is text or not."""
    kind, small = cut
    letters = [letter for letter, _ in sorted(byte_of().items(), key=lambda item: item[1])]
    ids = [small.token_to_id(piece) for piece in (letters if kind == "byte_level" else BYTES)]
    assert None not in ids and len(set(ids)) == 256
    raw = "Zoë \U0001f642\n".encode()
    begin = [] if kind == "byte_level" else [ids[0x20]]  # the space that the decoder strips
    assert small.decode([*begin, *(ids[byte] for byte in raw)]) == raw.decode()


def test_literal_control_tokens_are_text(cut: tuple[str, Tokenizer]) -> None:
    """No special token and no byte is made of the letters that name it."""
    kind, small = cut
    specials = {id for id, token in small.get_added_tokens_decoder().items() if token.special}
    for text in LITERAL:
        found = Encoder(small)([text])[0]
        assert not specials & set(found), (kind, text)
        assert small.decode(found, skip_special_tokens=False) == text
