"""Pickled checkpoints: refused by the import, converted when asked, and nothing in them is run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from model_shapes import VOCAB, make
from safetensors.torch import load_file

from pocketlm.cli import main
from pocketlm.model.exports import to_foreign
from pocketlm.model.folder import read_tensors
from pocketlm.model.imports import import_folder


def pickled(folder: Path, shards: int = 1, legacy: bool = False, **options: Any) -> dict[str, torch.Tensor]:
    """A Llama folder as ``save_pretrained(safe_serialization=False)`` wrote it, in fp16; its tensors."""
    decoder = make(**options)
    folder.mkdir(exist_ok=True)
    config = to_foreign(decoder.arch, VOCAB, "llama")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    state = {name: tensor.half() for name, tensor in decoder.state_dict().items()}
    if decoder.arch.tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]  # the same memory, as in a tied model
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
        return state
    names = [f"pytorch_model-{i + 1:05}-of-{shards:05}.bin" for i in range(shards)]
    where = {name: names[i % shards] for i, name in enumerate(state)}
    for file in names:
        torch.save({name: tensor for name, tensor in state.items() if where[name] == file}, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return state


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("tied", [True, False])
def test_a_pickle_is_converted_and_imported(shards: int, tied: bool, legacy: bool, tmp_path: Path) -> None:
    state = pickled(tmp_path / "in", shards, legacy, tied=tied)
    (tmp_path / "in" / "model.safetensors").write_bytes(b"a copy that somebody added, and that is not these weights")
    assert main(["convert", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    written = sorted(path.name for path in (tmp_path / "out").glob("model*"))
    assert len(written) == (1 if shards == 1 else shards + 1)
    raw = {n: t for name in written if name.endswith("rs") for n, t in load_file(tmp_path / "out" / name).items()}
    assert raw.keys() == state.keys() and all(torch.equal(raw[n], t) for n, t in state.items())
    found, arch, _ = import_folder(tmp_path / "out")
    assert arch.tied == tied and ("lm_head.weight" in found) != tied
    assert all(t.dtype == torch.float16 and torch.equal(t, state[n]) for n, t in found.items())
    assert (tmp_path / "out" / "tokenizer.json").read_text() == "{}"


def test_the_command_of_the_refusal_is_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pocketlm.artifacts import ArtifactError

    pickled(tmp_path / "in", shards=2)
    with pytest.raises(ArtifactError, match=f"pocketlm convert {tmp_path / 'in'} --out NEW_FOLDER"):
        import_folder(tmp_path / "in")
    assert main(["convert", str(tmp_path / "in"), "--out", str(tmp_path / "in")]) == 1
    assert "exists already" in capsys.readouterr().err


class Harm:
    """A pickle that makes a folder when it is loaded without restraint."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a conversion that fails, and leaves nothing."""
    assert main(["convert", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_pickle_is_run(zipped: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pickled(tmp_path / "in")
    harm = {"model.norm.weight": Harm(tmp_path / "mark")}
    torch.save(harm, tmp_path / "in" / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert "nothing in it was run: it names posix.mkdir" in refused(tmp_path, capsys)
    assert not (tmp_path / "mark").exists()


def test_what_is_no_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pickled(tmp_path / "in", shards=2)
    folder = tmp_path / "in"
    shard = folder / "pytorch_model-00002-of-00002.bin"
    whole, state = shard.read_bytes(), torch.load(shard)
    shard.write_bytes(whole[: len(whole) // 2])
    assert f"{shard}: " in refused(tmp_path, capsys)
    torch.save(dict(list(state.items())[1:]), shard)
    assert f"{shard}: {next(iter(state))} is missing" in refused(tmp_path, capsys)
    shard.unlink()
    assert f"{shard}: no such file, and the index names it" in refused(tmp_path, capsys)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "../x.bin"}}))
    assert "'../x.bin' is no .bin file of this folder" in refused(tmp_path, capsys)
    for index in ("[]", "{}", '{"weight_map": []}'):
        (folder / "pytorch_model.bin.index.json").write_text(index)
        assert "no weight_map in it" in refused(tmp_path, capsys)
    two = {"weight_map": {"a": "pytorch_model.bin", "b": "model.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(two))
    assert "would be one file" in refused(tmp_path, capsys)
    (folder / "pytorch_model.bin.index.json").unlink()
    assert "there is nothing to convert" in refused(tmp_path, capsys)
    torch.save({"model": state, "step": 3}, folder / "pytorch_model.bin")
    assert "'model' is no tensor but dict" in refused(tmp_path, capsys)
    torch.save([1, 2], folder / "pytorch_model.bin")
    assert "holds no tensors by name, but list" in refused(tmp_path, capsys)
    torch.save({"a": torch.ones(2, 2).to_sparse()}, folder / "pytorch_model.bin")
    assert "cannot be written as safetensors" in refused(tmp_path, capsys)


def test_a_tensor_in_two_shards_counts_where_the_index_has_it(tmp_path: Path) -> None:
    pickled(tmp_path / "in", shards=2)
    first, second = (tmp_path / "in" / f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2))
    own = torch.load(first)
    stale = {name: tensor + 1 for name, tensor in own.items()}
    torch.save(torch.load(second) | stale, second)
    assert main(["convert", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    found = read_tensors(tmp_path / "out")
    assert all(torch.equal(found[name], tensor) for name, tensor in own.items())
