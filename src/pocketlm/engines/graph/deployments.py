"""Quantization, scores, profiles and the report: what each job reads, and the keys that it depends on."""

from __future__ import annotations

import os

from pocketlm.engines.closure import ROOT
from pocketlm.engines.graph.base import PHASES, SINGLE, Config, arch_files, manifests, model_manifests
from pocketlm.engines.graph.data import heldout_keys, suite_sources, used_sources
from pocketlm.engines.graph.models import calibration_corpus, phases


def deployments(config: Config, model: str, quantized: bool = False) -> dict[str, Config]:
    """A model's deployments; ``quantized`` leaves out bf16, which is the model folder itself."""
    entries = {name: entry for name, entry in config["deployments"].items() if entry["model"] == model}
    return {name: entry for name, entry in entries.items() if not quantized or entry["scheme"] != "bf16"}


def quantized_models(config: Config) -> list[str]:
    """Models with at least one quantized deployment."""
    deployed = {entry["model"] for entry in config["deployments"].values() if entry["scheme"] != "bf16"}
    return [name for name in config["models"] if name in deployed]


def deployed_phases(config: Config, model: str) -> list[str]:
    """Phases that quantization reads; of bf16 ones it measures the size."""
    wanted = {entry["phase"] for entry in deployments(config, model).values()}
    return [phase for phase in PHASES if phase in wanted]


def scored_phases(config: Config, model: str, suite: str) -> list[str]:
    """Phases whose folders scoring reads: the suite's, as far as the model has them."""
    return [phase for phase in phases(config, model) if phase in config["suites"][suite]["phases"]]


def deployment_keys(config: Config, model: str) -> list[str]:
    """Parameters of a model's deployments."""
    return [f"deployments.{name}" for name in deployments(config, model)]


def quantize_models(config: Config, model: str) -> list[str]:
    """Manifests of the phases that are quantized."""
    return model_manifests(model, deployed_phases(config, model))


def quantize_tokens(config: Config, model: str) -> list[str]:
    """Manifest of the tokens that quantization is calibrated on; none for a model that is not trained here."""
    return manifests("tokens", calibration_corpus(config, model))


def scored_models(config: Config, suite: str, model: str) -> list[str]:
    """Manifests of the phases that a suite scores."""
    return model_manifests(model, scored_phases(config, model, suite))


def scored_deploy(config: Config, suite: str, model: str) -> list[str]:
    """Manifest of a model's quantized deployments, if the suite scores one of them."""
    entries = deployments(config, model, quantized=True).values()
    return manifests("deploy", [model] if any(e["phase"] in config["suites"][suite]["phases"] for e in entries) else [])


def score_data(config: Config, suite: str) -> list[str]:
    """Manifests of the sources that hold a suite's items."""
    return manifests("data", suite_sources(config, [suite]))


def score_keys(config: Config, suite: str, model: str) -> list[str]:
    """Parameters of a scoring."""
    own = [f"suites.{suite}", f"models.{model}.seed", *SINGLE]
    return [*own, *deployment_keys(config, model), *heldout_keys(config, [suite])]


def profile_archs(config: Config, profile: str) -> list[str]:
    """Architecture files of the searched models in a profile."""
    return arch_files(config, config["profiles"][profile]["models"])


def profile_keys(config: Config, profile: str) -> list[str]:
    """Shapes and vocabularies of the models in a profile."""
    models = config["profiles"][profile]["models"]
    tokenizers = sorted({config["models"][name]["architecture"]["tokenizer"] for name in models})
    return [f"models.{name}.architecture" for name in models] + [f"tokenizers.{name}" for name in tokenizers if name]


def report_data(config: Config) -> list[str]:
    """Manifests with the licences and hashes that the report lists."""
    return manifests("data", used_sources(config))


def report_papers(config: Config) -> list[str]:
    """Published tables that are set beside ours."""
    return [os.path.relpath(ROOT / "conf" / "papers" / f"{name}.yaml") for name in config["report"]["papers"]]
