"""Training is deterministic and spells every text; the fast encoder equals the reference; compression's rule."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_texts import TEXTS
from tokenizers import Tokenizer

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError
from pocketlm.data import encode as encode_room
from pocketlm.data import tokenizer
from pocketlm.data.compress import compress, count_pieces
from pocketlm.data.encode import Encoder, byte_of
from pocketlm.data.tokens import token_bytes

MIRROR = os.environ.get("POCKETLM_MIRROR")  # before a fixture unsets it
STRANGE = [
    "",
    " ",
    "\n\n  7",
    "a  1 b",
    "é🙂\u200b\x00\x7f",
    "'tis don't 'S",
    "12345 x12",
    "\ufeff\u3000９",
    "\t\r\n ",
    "<|end|>",
]


def test_training_does_not_depend_on_process_or_threads(tmp_path: Path) -> None:
    code = (
        "import sys, json; sys.path[:0] = json.loads(sys.argv[2]);"
        "from sample_texts import TEXTS; from pocketlm.data import tokenizer as t;"
        "t.train(TEXTS, 300, True, 'x').save(sys.argv[1])"
    )
    paths = json.dumps([str(Path(__file__).parent), *sys.path])
    for number in (1, 2):
        environment = {"PYTHONHASHSEED": str(number), "RAYON_NUM_THREADS": str(number)}
        command = [sys.executable, "-c", code, str(tmp_path / str(number)), paths]
        subprocess.run(command, check=True, env=os.environ | environment)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_layout_and_round_trip(tokenizer_folder: Path) -> None:
    made = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    assert made.get_vocab_size() == 300
    assert sorted(made.token_to_id(c) for c in byte_of()) == list(range(6, 262))
    encode = Encoder(made)
    for text in STRANGE + TEXTS[:20]:
        assert made.decode(encode([text])[0], skip_special_tokens=False) == text
    assert len(encode(["2024"])[0]) == 4  # every digit stands alone


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"tokenizers\.t\.vocab_size: 200 is below 262"):
        tokenizer.train(TEXTS, 200, True, "t")
    with pytest.raises(ArtifactError, match=r"hold only \d+ pieces.*vocab_size to \d+ or less"):
        tokenizer.train(TEXTS, 5000, True, "t")


@pytest.mark.parametrize("digits", [True, False])
def test_fast_encoder_equals_reference(digits: bool) -> None:
    encode = Encoder(tokenizer.train(TEXTS, 290, digits, "t"))
    assert encode.fast is not None
    plane = [chr(c) for c in range(0x10000) if not 0xD800 <= c < 0xE000]
    # every digit, space and control character of the basic plane; letters and marks by sample; some beyond it
    letters = [c for i, c in enumerate(plane) if unicodedata.category(c)[0] in "NZ" or c.isspace() or i % 23 == 0]
    letters += [chr(c) for c in range(0x10000, 0x20000, 997)]
    texts = [f"a{c} {c}5  {c}\n 7 " for c in letters] + STRANGE + TEXTS[:20]
    whole = ["".join(texts[i : i + 8]) for i in range(0, len(texts), 8)]
    assert encode(whole) == [ids.tolist() for ids in encode.slow(whole)]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200) | st.text(" \n\ta1's.", max_size=200)


@pytest.fixture(scope="module", params=[(290, True), (290, False), (261 + 200, True)], ids=str)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    vocab_size, digits = request.param
    text = TEXTS if vocab_size == 290 else [*TEXTS, Path(__file__).read_text()]
    found = Encoder(tokenizer.train(text, vocab_size, digits, "t"))
    assert found.fast is not None
    return found


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXT, max_size=8))
def test_fast_encoder_equals_reference_on_random_unicode(encoder: Encoder, texts: list[str]) -> None:
    assert encoder(texts) == [ids.tolist() for ids in encoder.slow(texts)]
    assert encoder.fast is not None


def test_fast_encoder_on_long_pieces(encoder: Encoder) -> None:
    """Runs of one kind of character, as broken web pages have them."""
    texts = [c * 20_000 for c in "a '1.\nä\u3000"] + ["ab" * 9_000 + " " * 9_000, "\n" * 9_000 + "7"]
    assert encoder(texts) == [ids.tolist() for ids in encoder.slow(texts)]


def test_fast_encoder_is_made_anew(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It remembers words: without an end a large corpus would fill the memory."""
    monkeypatch.setattr(encode_room, "RENEW", 1000)
    first = encoder.fast
    assert encoder(TEXTS) == [ids.tolist() for ids in encoder.slow(TEXTS)]
    assert encoder.fast is not first and encoder(TEXTS[:3]) == [ids.tolist() for ids in encoder.slow(TEXTS[:3])]


@pytest.mark.full
@pytest.mark.skipif(MIRROR is None, reason="POCKETLM_MIRROR names no folder of real text")
@pytest.mark.parametrize("vocab_size, digits", [(896, True), (4096, True), (32768, False)])
def test_fast_encoder_equals_reference_on_real_text(vocab_size: int, digits: bool) -> None:
    files = [
        path for path in sorted(Path(str(MIRROR)).rglob("*")) if path.suffix in (".txt", ".jsonl", ".json", ".raw")
    ]
    texts = [
        text[i : i + 5000] for text in (p.read_text(errors="replace") for p in files) for i in range(0, len(text), 5000)
    ]
    encode = Encoder(tokenizer.train(texts[::5], vocab_size, digits, "t"))
    for start in range(0, len(texts), 500):
        some = texts[start : start + 500]
        assert all(map(np.array_equal, encode.arrays(some), encode.slow(some)))
    assert encode.fast is not None and sum(map(len, texts)) > 5e7


def test_token_bytes(chat) -> None:  # type: ignore[no-untyped-def]
    lengths = token_bytes(chat)
    assert lengths[:6].sum() == 0 and (lengths[6:262] == 1).all()
    text = "Ada gave 7 red äpfel 🙂"
    assert lengths[chat.texts([text])[0]].sum() == len(text.encode())


def test_compressed_keeps_the_most_frequent_and_reaches_all() -> None:
    base = tokenizer.train(TEXTS, 310, True, "base")
    small, report = compress(base, TEXTS, 290, "small")
    assert small.get_vocab_size() == len(report["kept_ids"]) == 290 and 0.5 < report["coverage"] < 1
    pieces = small.get_vocab()
    for piece in pieces.keys() - byte_of().keys() - {t.content for t in small.get_added_tokens_decoder().values()}:
        text = bytes(byte_of()[c] for c in piece).decode()
        assert small.encode(text, add_special_tokens=False).ids == [pieces[piece]]
        assert base.encode(text, add_special_tokens=False).tokens == [piece]
    for text in STRANGE:
        assert small.decode(Encoder(small)([text])[0], skip_special_tokens=False) == text
    # the rule: a dropped piece is not more frequent than a kept one, unless that one is another's parent
    counts = count_pieces(base, TEXTS)
    merges = json.loads(small.to_str())["model"]["merges"]
    needed = {part for pair in merges for part in pair}
    leaves = [p for p in pieces if p not in needed and p not in byte_of() and base.token_to_id(p) > 261]
    dropped = [p for p in base.get_vocab() if p not in pieces]
    assert max(counts[base.token_to_id(p)] for p in dropped) <= min(counts[base.token_to_id(p)] for p in leaves)
    with pytest.raises(ConfigError, match="below 262"):
        compress(base, TEXTS, 100, "small")
    with pytest.raises(ArtifactError, match="not below its base's 310"):
        compress(base, TEXTS, 310, "small")


def test_import(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert tokenizer.import_folder(tokenizer_folder, tmp_path / "out")["vocab_size"] == 300
    assert (tmp_path / "out/tokenizer.json").read_bytes() == (tokenizer_folder / "tokenizer.json").read_bytes()
    with pytest.raises(ArtifactError, match=r"no tokenizer\.json"):
        tokenizer.import_folder(tmp_path, tmp_path / "out")
