"""The stages on a cut of an imported tokenizer with ``<s>`` and ``</s>``, from their command lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cut_bases import TEXTS, behind, byte_level, sentencepiece, unigram
from whole_params import whole

from pocketlm import artifacts, cli
from pocketlm.data.chat import PLAIN_TEMPLATE, TEMPLATE, Chat
from pocketlm.data.cut_folder import named_tokens

TEMPLATED = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
CONFIG = {
    "tokenizer_class": "LlamaTokenizer",
    "bos_token": {"__type": "AddedToken", "content": "<s>"},
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": None,
    "unk_id": 0,
    "auto_map": {"AutoTokenizer": ["own.Own", None]},
    "added_tokens_decoder": {"0": {"content": "<unk>"}, "999": {"content": "<|begin|>"}, "7": {"content": "gone"}},
}


def write_base(folder: Path, base: Any, template: str | None = None) -> None:
    folder.mkdir()
    base.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(CONFIG))
    (folder / "special_tokens_map.json").write_text('{"eos_token": "</s>"}')
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with text, dialogues, an imported tokenizer and its cut; the base's folder is to be written."""
    monkeypatch.chdir(tmp_path)
    texts = [f"{text} ({number})" for number in range(20) for text in TEXTS[:3]]
    rows = [{"text": text} for text in texts]
    talk = [{"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": "a mat"}]} for t in texts]
    Path("texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("talk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in talk))
    names = {"texts": ("text", "text"), "talk": ("chat", "messages")}
    params = {
        "search": {"enabled": False},
        "sources": {n: {"kind": "path", "path": f"{n}.jsonl", "sha256": artifacts.sha256(f"{n}.jsonl")} for n in names},
        "tokenizers": {
            "full": {"kind": "imported", "path": "base"},
            "small": {"kind": "compressed", "base": "full", "vocab_size": 300, "corpora": ["texts"]},
        },
        "corpora": {
            n: {
                "tokenizer": "small",
                "kind": kind,
                "validation": 0.2,
                "parts": {"p": {"source": n, "reader": reader}},
            }
            for n, (kind, reader) in names.items()
        },
    }
    Path("params.yaml").write_text(yaml.safe_dump(whole(params)))
    return tmp_path


def pocketlm(line: str) -> None:
    assert cli.main(line.split()) == 0, line


def chain() -> None:
    for name in ("texts", "talk"):
        pocketlm(f"download --entry {name} --out r/{name} --manifest r/{name}.manifest.json")
    pocketlm("tokenizer --entry full --out r/full --manifest r/full.manifest.json")
    cut = "tokenizer --entry small --data r/texts.manifest.json --base r/full.manifest.json --out r/small"
    pocketlm(f"{cut} --manifest r/small.manifest.json")
    for name in ("texts", "talk"):
        line = f"tokenize --entry {name} --data r/{name}.manifest.json --tokenizer r/small.manifest.json"
        pocketlm(f"{line} --out r/t-{name} --manifest r/t-{name}.manifest.json --contamination r/{name}.json")


@pytest.mark.parametrize("template", [None, TEMPLATED])
@pytest.mark.parametrize("base", [sentencepiece, unigram])
def test_a_cut_of_another_makers_tokenizer(run: Path, base: Any, template: str | None) -> None:
    """Chat and tokenize work; the base's end ends documents, its template renders, ours is not forced on it."""
    write_base(run / "base", behind(base()), template)
    chain()
    chat = Chat(Path("r/small"))
    assert chat.eos_token == "</s>" and chat.vocab_size == 300 and chat.stop_ids == [chat.eos_id]
    assert chat.template == (template or PLAIN_TEMPLATE) != TEMPLATE
    meta = artifacts.read_json("r/t-texts/meta.json")
    ids = np.fromfile("r/t-texts/train.p.bin", dtype=np.uint16)
    assert meta["eos_id"] == chat.eos_id and (ids == chat.eos_id).sum() == meta["train_documents"]
    assert ids.max() < 300 and "(" in chat.tokenizer.decode(ids[:40].tolist())
    assert artifacts.read_json("r/t-talk/meta.json")["train_loss_tokens"] > 0


def test_settings_follow_the_cut(run: Path) -> None:
    """Ids are the new ones; what names files or code of the base is gone; transformers reads the pipeline as it is."""
    from transformers import AutoTokenizer

    write_base(run / "base", behind(sentencepiece()))
    chain()
    config = artifacts.read_json("r/small/tokenizer_config.json")
    assert not {"auto_map", "unk_id"} & config.keys() and config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["added_tokens_decoder"] == {"0": {"content": "<unk>"}, "299": {"content": "<|begin|>"}}
    assert named_tokens(Path("r/small")) == {"<s>", "</s>", "<unk>"}
    assert Path("r/small/special_tokens_map.json").read_text() == '{"eos_token": "</s>"}'
    reference = AutoTokenizer.from_pretrained("r/small")
    chat = Chat("r/small")
    assert reference.eos_token_id == chat.eos_id and len(reference) == 300
    assert reference.encode(TEXTS[0], add_special_tokens=False) == chat.texts([TEXTS[0]])[0]


def test_tokens_that_only_the_settings_name_stay(run: Path) -> None:
    """An end that is a plain piece, never met in the text, is not cut away."""
    base = json.loads(sentencepiece().to_str())
    base["added_tokens"] = []
    base["model"]["vocab"]["<stop>"] = len(base["model"]["vocab"])
    write_base(run / "base", type(sentencepiece()).from_str(json.dumps(base)))
    path = run / "base/tokenizer_config.json"
    path.write_text(json.dumps(CONFIG | {"eos_token": "<stop>", "unk_token": "<unk>"}))
    chain()
    assert Chat("r/small").eos_id == 299


def test_an_end_that_is_no_piece_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_base(run / "base", sentencepiece())
    (run / "base/tokenizer_config.json").write_text(json.dumps(CONFIG | {"eos_token": "<stop>"}))
    with pytest.raises(AssertionError):
        chain()
    assert "eos_token '<stop>' is not in its tokenizer.json" in capsys.readouterr().err


def test_a_bare_sentencepiece_model_names_its_conversion(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("base").mkdir()
    Path("base/tokenizer.model").write_bytes(b"\n")
    assert cli.main(["tokenizer", "--entry", "full", "--out", "r/full", "--manifest", "r/full.manifest.json"]) == 1
    said = capsys.readouterr().err
    assert "base/tokenizer.model: a bare SentencePiece model is not read; convert it once: pip install" in said
    assert "T.from_pretrained('base').save_pretrained('base')" in said


def test_a_token_that_only_the_special_tokens_map_names_stays(run: Path) -> None:
    """Else transformers would add it behind the cut vocabulary, where a model has no row."""
    from transformers import AutoTokenizer

    base = byte_level()
    write_base(run / "base", base)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (run / "base" / "tokenizer_config.json").write_text(json.dumps(config))
    piece = max((p for p in base.get_vocab() if p.isalpha()), key=base.token_to_id)  # the rarest
    (run / "base" / "special_tokens_map.json").write_text(json.dumps({"pad_token": piece}))
    chain()
    cut = AutoTokenizer.from_pretrained("r/small")
    assert cut.pad_token == piece and cut.pad_token_id < 300 and len(cut) == 300
