"""Pickled weights (``pytorch_model.bin``) as safetensors, for a user who asks: ``pocketlm convert``.

A pickle can run code when it is read. torch's weights-only reader lets nothing through but tensors and plain data.
"""

from __future__ import annotations

import pickle
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from pocketlm.artifacts import ArtifactError, full, read_json, write_json
from pocketlm.model.folder import TOKENIZER_FILES

SINGLE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
BESIDE = ("config.json", "generation_config.json", *TOKENIZER_FILES)


def convert_folder(folder: Path, out: Path) -> list[str]:
    """Write the pickles of ``folder`` as safetensors into ``out`` (there already), names and shards as they are.

    Config and tokenizer go with them; safetensors that lie beside the pickles do not. Returns the files written.
    Raises ArtifactError naming what is missing, damaged or no tensor.
    """
    names = shards(folder)
    written = {file: file.replace("pytorch_model", "model", 1).removesuffix(".bin") + ".safetensors" for file in names}
    if len(set(written.values())) < len(written):
        raise ArtifactError(f"{folder / INDEX}: {', '.join(written)} would be one file; name the shards otherwise")
    for file, wanted in names.items():
        state = read_pickle(folder / file)
        if missing := sorted(wanted - state.keys()):
            raise ArtifactError(f"{folder / file}: {missing[0]} is missing, which {INDEX} expects in it")
        # a tensor may lie in two shards, and counts where the index has it
        write({name: state[name] for name in state if name in wanted or not wanted}, out / written[file])
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX)
        index["weight_map"] = {name: written[file] for name, file in index["weight_map"].items()}
        write_json(out / "model.safetensors.index.json", index)
    for name in BESIDE:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    return sorted(written.values())


def shards(folder: Path) -> dict[str, set[str]]:
    """{pickle: names that the index expects in it}; of a single file nothing is expected."""
    if not (folder / INDEX).is_file():
        if not (folder / SINGLE).is_file():
            raise ArtifactError(f"{folder}: neither {SINGLE} nor {INDEX} in it; there is nothing to convert")
        return {SINGLE: set()}
    found: dict[str, set[str]] = {}
    index = read_json(folder / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise ArtifactError(f"{folder / INDEX}: no weight_map in it, of tensors and their files; fetch it again")
    for name, file in sorted(places.items()):
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".bin"):
            raise ArtifactError(f"{folder / INDEX}: {file!r} is no .bin file of this folder")
        found.setdefault(file, set()).add(name)
    return found


def read_pickle(path: Path) -> dict[str, Tensor]:
    """{name: tensor} of a pickle, read weights-only and mapped into memory where its format allows it."""
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file, and the index names it; fetch it")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it names {named[1]}" if named else "it is damaged, or no pickle of tensors"
        raise ArtifactError(f"{path}: not read, and nothing in it was run: {what}; take another copy") from None
    except Exception as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(f"{path}: damaged ({line}); fetch it again") from None
    if not isinstance(state, dict) or not state:
        raise ArtifactError(f"{path}: holds no tensors by name, but {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ArtifactError(
                f"{path}: {name!r} is no tensor but {type(value).__name__}; weights alone are converted"
            )
    return state


def write(state: dict[str, Tensor], path: Path) -> None:
    """Save tensors; those that share memory in the pickle (a tied head) are written each for itself."""
    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    try:
        for name, value in state.items():
            tensor = value.detach().contiguous()
            memory = tensor.untyped_storage().data_ptr()
            own[name] = tensor.clone() if memory in seen else tensor
            seen.add(memory)
        save_file(own, path, metadata={"format": "pt"})
    except Exception as error:
        if full(error):
            raise  # atomic_folder names it
        raise ArtifactError(f"{path.name}: these tensors cannot be written as safetensors ({error})") from None
