"""Shards and batches: any batch can be made again, epochs are permutations, dialogues never mix."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sample_texts import TEXTS

from pocketlm.artifacts import ArtifactError
from pocketlm.data.chat import Chat
from pocketlm.data.documents import Document, content_key, is_validation, unit
from pocketlm.data.packing import best_fit
from pocketlm.data.reader import BLOCK, IGNORE, TokenReader, shares
from pocketlm.data.shuffle import permute
from pocketlm.data.tokens import write_tokens


def text_documents(texts: list[str]) -> list[Document]:
    return [Document(key=content_key(t), text=t) for t in texts]


def dialogues(count: int) -> list[Document]:
    out = []
    for n in range(count):
        turns = [("user", f"Day {n}?" + " apples" * (n % 7)), ("assistant", f"It is {n}.")]
        messages = [{"role": role, "content": content} for role, content in turns]
        out.append(Document(key=content_key(str(n)), messages=messages))
    return out


@pytest.fixture(scope="module")
def text_folder(chat: Chat, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    parts = {"a": (text_documents(TEXTS[:150]), 3.0), "b": (text_documents(TEXTS[150:]), 1.0)}
    write_tokens(folder, parts, chat, "text", 0.1)
    return folder


@pytest.fixture(scope="module")
def chat_folder(chat: Chat, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    write_tokens(folder, {"d": (dialogues(300), 1.0)}, chat, "chat", 0.1)
    return folder


@pytest.mark.parametrize("n", [1, 2, 3, 5, 64, 65, 1000])
def test_permutation(n: int) -> None:
    images = permute(np.arange(n), n, 7)
    assert sorted(images.tolist()) == list(range(n))
    assert n < 64 or not np.array_equal(images, permute(np.arange(n), n, 8))
    assert np.array_equal(permute(np.array([n - 1]), n, 7), images[-1:])


def test_permutation_is_the_same_everywhere() -> None:
    assert permute(np.arange(10), 10, 1).tolist() == permute(np.arange(10), 10, 1).tolist()
    assert round(unit("heldout", "x"), 6) == round(unit("heldout", "x"), 6) != round(unit("validation", "x"), 6)


def test_shards_hold_the_documents(text_folder: Path, chat: Chat) -> None:
    tokens = np.fromfile(text_folder / "train.a.bin", dtype=np.uint16)
    starts = np.fromfile(text_folder / "train.a.idx", dtype=np.int64)
    wanted = [t for t in TEXTS[:150] if not is_validation(content_key(t), 0.1)]
    assert len(starts) == len(wanted) + 1
    for text, a, b in zip(wanted, starts, starts[1:], strict=False):
        assert tokens[b - 1] == chat.eos_id
        assert chat.tokenizer.decode(tokens[a : b - 1].tolist()) == text


def test_text_windows_by_hand(text_folder: Path) -> None:
    """Against the plain formulation: every window of the stream, once an epoch, targets shifted by one."""
    reader = TokenReader(text_folder, "train", 16, 4, seed=3)
    tokens = np.fromfile(text_folder / "train.a.bin", dtype=np.uint16).astype(np.int64)
    part = reader.parts[0]
    epoch = part.shuffled(0, np.arange(part.rows))
    windows = {tuple(tokens[i * 16 : i * 16 + 17]) for i in range((len(tokens) - 1) // 16)}
    assert len(epoch.inputs) == (len(tokens) - 1) // 16
    assert {(*x, y[-1]) for x, y in zip(epoch.inputs, epoch.targets, strict=True)} == windows
    assert np.array_equal(epoch.inputs[:, 1:], epoch.targets[:, :-1])
    again = part.shuffled(0, np.arange(part.rows, 2 * part.rows))
    assert not np.array_equal(epoch.inputs, again.inputs)
    assert sorted(map(tuple, epoch.inputs)) == sorted(map(tuple, again.inputs))


@pytest.mark.parametrize("kind", ["text", "chat"])
def test_random_access(kind: str, text_folder: Path, chat_folder: Path) -> None:
    folder = text_folder if kind == "text" else chat_folder
    forwards = TokenReader(folder, "train", 48, 4, seed=1)
    batches = {(r, s): forwards.batch(r, s) for r in (0, 1) for s in range(60)}
    backwards = TokenReader(folder, "train", 48, 4, seed=1)
    for (r, s), batch in reversed(batches.items()):
        for one, two in zip(batch, backwards.batch(r, s), strict=True):
            assert one is None or np.array_equal(one, two)
    half = backwards.batch(0, 17, slice(2, 4))
    assert np.array_equal(half.inputs, batches[0, 17].inputs[2:4])
    assert not np.array_equal(batches[0, 0].inputs, batches[1, 0].inputs)
    assert not np.array_equal(TokenReader(folder, "train", 48, 4, seed=2).batch(0, 0).inputs, batches[0, 0].inputs)


def test_weights(text_folder: Path) -> None:
    reader = TokenReader(text_folder, "train", 16, 8, seed=0)
    assert shares(np.array([0.75, 0.25]), BLOCK).tolist() == [768, 256]
    assert shares(np.array([0.99999, 0.00001]), BLOCK).tolist() == [1023, 1]
    assert shares(np.full(3, 1 / 3), BLOCK).sum() == BLOCK
    counts = Counter(int(p) for p in reader._deal(0, 5)[0])
    assert counts == {0: 768, 1: 256}


def test_packing_never_cuts_or_mixes(chat_folder: Path, chat: Chat) -> None:
    reader = TokenReader(chat_folder, "train", 48, 4)
    part = reader.parts[0]
    epoch = part.shuffled(0, np.arange(part.rows))
    seen = []
    for x, y, d in zip(epoch.inputs, epoch.targets, epoch.documents, strict=True):
        assert (np.diff(d) >= 0).all()
        for number in range(d.max() + 1):
            ids, targets = x[d == number], y[d == number]
            if (ids == chat.pad_id).all():
                assert (targets == IGNORE).all()
                continue
            assert ids[0] == 2 and (ids == 2).sum() == 1 and (ids == 4).sum() == 1
            answer = targets[targets != IGNORE]
            assert answer[-1] == chat.end_id
            seen.append(chat.tokenizer.decode(answer[:-1].tolist()))
    wanted = [d.messages[1]["content"] for d in dialogues(300) if not is_validation(d.key, 0.1)]
    assert sorted(seen) == sorted(wanted)
    assert (epoch.inputs != chat.pad_id).mean() > 0.85


def test_best_fit() -> None:
    sizes = np.array([5, 6, 4, 10, 1, 3])
    rows = best_fit(np.arange(6), sizes, 10)
    assert sorted(itertools.chain(*rows)) == list(range(6))
    assert all(sizes[row].sum() <= 10 for row in rows) and len(rows) == 3


def test_long_dialogues_are_cut_and_useless_ones_left_out(chat: Chat, tmp_path: Path) -> None:
    long_user = [{"role": "user", "content": "apples " * 60}, {"role": "assistant", "content": "never reached"}]
    long_reply = [{"role": "user", "content": "Say"}, {"role": "assistant", "content": "pears " * 60}]
    documents = [Document(key=k, messages=m) for k, m in (("1", long_user), ("2", long_reply))]
    write_tokens(tmp_path, {"d": ([*documents, *dialogues(40)], 1.0)}, chat, "chat", 0.2)
    part = TokenReader(tmp_path, "train", 16, 1).parts[0]
    assert part.lengths.max() <= 17
    assert (part.shuffled(0, np.arange(part.rows)).targets != IGNORE).any(axis=1).all()


def test_validation_and_bytes(text_folder: Path) -> None:
    reader = TokenReader(text_folder, "val", 16, 4)
    batches = list(reader.validation_batches(1000))
    meta = reader.meta
    assert (
        sum(int((b.targets != IGNORE).sum()) for b in batches) == meta["val_tokens"] - 2
    )  # but the first of each part
    first = sum(int(reader.token_bytes[p.tokens[0]]) for p in reader.parts)
    assert sum(reader.count_bytes(b.targets) for b in batches) == meta["val_bytes"] - first
    assert reader.bytes_per_token == pytest.approx(meta["val_bytes"] / meta["val_loss_tokens"])
    texts = [t for t in TEXTS if is_validation(content_key(t), 0.1)]
    assert meta["val_bytes"] == sum(len(t.encode()) for t in texts)
    some = list(reader.validation_batches(2))
    assert [b.inputs.shape for b in some] == [(4, 16), (4, 16)]
    assert np.array_equal(some[0].inputs, next(reader.validation_batches(2)).inputs)


def test_refusals(text_folder: Path, chat: Chat, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"train split gives \d+ rows of 512 tokens.*a batch needs 64"):
        TokenReader(text_folder, "train", 512, 64)
    with pytest.raises(ArtifactError, match="part 'a' has no training document"):
        write_tokens(tmp_path, {"a": ([], 1.0)}, chat, "text", 0.1)
    with pytest.raises(ArtifactError, match="raise the corpus's 'validation'"):
        write_tokens(tmp_path, {"a": (text_documents(TEXTS[:1]), 1.0)}, chat, "text", 0.0)
    with pytest.raises(ArtifactError, match="no such file"):
        TokenReader(tmp_path / "nowhere", "train", 8, 1)
