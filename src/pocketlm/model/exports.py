"""A model folder of ours as a checkpoint of a foreign layout: the same tensors under another config.json."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from pocketlm.artifacts import ArtifactError, read_json, write_json
from pocketlm.model.folder import architecture_of, copy_tokenizer, read_tensors, special_ids
from pocketlm.model.imports import check_state, expected_shapes, to_foreign


def export_folder(folder: Path, layout: str, out: Path) -> None:
    """Write ``folder`` into ``out`` (there already) in a layout of ``imports.LAYOUTS``; the tokenizer goes with it.

    Raises ArtifactError naming the option that the layout cannot express, or what is no model folder in bf16.
    """
    if not (folder / "pocketlm.json").is_file():
        raise ArtifactError(f"{folder}: no pocketlm.json in it; name a model folder, results/models/MODEL/PHASE")
    about = read_json(folder / "pocketlm.json")
    arch, vocab_size = architecture_of(about), int(about["vocab_size"])
    if about["scheme"] != "bf16":
        raise ArtifactError(
            f"{folder}: scheme={about['scheme']!r} cannot be expressed: export the phase it was quantized from"
        )
    config = to_foreign(arch, vocab_size, layout)
    state = read_tensors(folder)
    check_state(state, expected_shapes(arch, vocab_size), str(folder))
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    ids = special_ids(folder)
    ends = ids.pop("end", [])
    dtype = str(state["model.norm.weight"].dtype).removeprefix("torch.")
    write_json(out / "config.json", {**config, **ids, "dtype": dtype})
    write_json(out / "generation_config.json", {**ids, **({"eos_token_id": ends} if ends else {})})
    if (folder / "tokenizer.json").is_file():
        copy_tokenizer(folder, out)
