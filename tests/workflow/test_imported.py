"""A checkpoint that transformers wrote enters the chain: tuned, quantized, profiled and scored by the real stages."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from stub import command, copy_project

from pocketlm.config import Architecture, Deployment, Model, as_dict

pytestmark = [pytest.mark.full, pytest.mark.chain, pytest.mark.timeout(900)]
SCHEMES = {"bf16": "torch", "int8": "torch", "int4": "torch", "gguf_q8_0": "llamacpp"}


def write_llama(folder: Path, tokenizer: Path) -> None:
    """A random Llama with this tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    size = len(AutoTokenizer.from_pretrained(tokenizer))
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "max_position_embeddings": 256}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=size, **sizes, **heads)).save_pretrained(folder)
    for file in tokenizer.iterdir():
        shutil.copy(file, folder)


def test_folder_of_transformers_goes_through_the_chain(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project", stubbed=False)
    command(project, "pocketlm", "compose", "recipe=tiny")
    command(project, "snakemake", "--", "results/tokenizers/world.manifest.json")
    write_llama(project / "llama", project / "results/tokenizers/world")
    params = yaml.safe_load((project / "params.yaml").read_text())
    shape = Architecture(kind="imported", path="llama", tokenizer="world")
    params["models"]["mine"] = as_dict(Model(architecture=shape, base=None))
    for scheme, runtime in SCHEMES.items():
        params["deployments"][f"mine-call-{scheme}"] = as_dict(Deployment("mine", "call", scheme, runtime))
    params["profiles"]["models"]["models"] = ["mine"]
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    facts, scores = "results/facts/local/models.json", "results/scores/world/mine.json"
    command(project, "snakemake", "-j2", "--", facts, scores)
    curve = json.loads((project / "results/models/mine/call.metrics.json").read_text())
    assert curve["val_loss"] < curve["round_losses"][0]  # it was tuned
    rows = json.loads((project / scores).read_text())
    assert {(row["phase"], row["scheme"]) for row in rows} == {
        *(("base", "bf16"), ("instruct", "bf16")),
        *(("call", scheme) for scheme in SCHEMES),
    }
    assert '"mine"' in (project / facts).read_text()
