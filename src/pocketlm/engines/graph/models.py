"""Models and their phases: what each training reads, and the keys that it depends on."""

from __future__ import annotations

from pocketlm.engines.graph.base import PHASES, SINGLE, Config, arch_files, manifests, model_manifests, names


def with_phase(config: Config, phase: str) -> list[str]:
    """Models that are trained in a phase."""
    imported = set(names(config, "imported")) if phase == "base" else set()
    return [name for name, model in config["models"].items() if model[phase] and name not in imported]


def inheriting(config: Config) -> list[str]:
    """Models whose base phase starts from parts of another one."""
    return [name for name in with_phase(config, "base") if config["models"][name].get("inherit")]


def from_seed(config: Config) -> list[str]:
    """Models whose base phase starts from the seed."""
    inherited = set(inheriting(config))
    return [name for name in with_phase(config, "base") if name not in inherited]


def source_manifest(config: Config, model: str) -> str:
    """Manifest of the phase that a model inherits from."""
    how = config["models"][model]["inherit"]
    return model_manifests(how["model"], [how["phase"]])[0]


def inherit_keys(config: Config, model: str) -> list[str]:
    """Parameters of an inheritance: its own, the shape, and what its batches are."""
    entry, plan = f"models.{model}", f"plans.{config['models'][model]['base']}"
    batches = [f"{plan}.{name}" for name in ("corpus", "seq_len", "batch_size")]
    return [f"{entry}.architecture", f"{entry}.inherit", f"{entry}.seed", *batches, *SINGLE]


def phases(config: Config, model: str) -> list[str]:
    """Phases of a model that exist, in order; an imported model has its base."""
    entry = config["models"][model]
    imported = entry["architecture"]["kind"] == "imported"
    return [phase for phase in PHASES if entry[phase] or (phase == "base" and imported)]


def previous_phase(config: Config, model: str, phase: str) -> str:
    """The phase that a tuning starts from."""
    return [name for name in phases(config, model) if PHASES.index(name) < PHASES.index(phase)][-1]


def plan_corpus(config: Config, model: str, phase: str) -> str:
    """The corpus of a model's phase."""
    return str(config["plans"][config["models"][model][phase]]["corpus"])


def calibration_corpus(config: Config, model: str) -> list[str]:
    """The corpus that quantization is calibrated on: that of the first phase trained here."""
    return [plan_corpus(config, model, phase) for phase in PHASES if config["models"][model][phase]][:1]


def arch_file(config: Config, model: str) -> list[str]:
    """The architecture file of a searched model; nothing for the others."""
    return arch_files(config, [model])


def base_tokens(config: Config, model: str) -> str:
    """Manifest of the tokens of a model's pre-training."""
    return manifests("tokens", [plan_corpus(config, model, "base")])[0]


def instruct_tokens(config: Config, model: str) -> str:
    """Manifest of the tokens of a model's instruction tuning."""
    return manifests("tokens", [plan_corpus(config, model, "instruct")])[0]


def call_tokens(config: Config, model: str) -> str:
    """Manifest of the tokens of a model's call tuning."""
    return manifests("tokens", [plan_corpus(config, model, "call")])[0]


def model_tokenizer(config: Config, model: str) -> str:
    """Manifest of a model's tokenizer."""
    return manifests("tokenizers", [config["models"][model]["architecture"]["tokenizer"]])[0]


def before_instruct(config: Config, model: str) -> str:
    """Manifest of the phase that instruction tuning starts from."""
    return model_manifests(model, [previous_phase(config, model, "instruct")])[0]


def before_call(config: Config, model: str) -> str:
    """Manifest of the phase that call tuning starts from."""
    return model_manifests(model, [previous_phase(config, model, "call")])[0]


def phase_keys(config: Config, model: str, phase: str) -> list[str]:
    """Parameters of a training: plan, architecture, seed, numerics; never another phase's."""
    entry = f"models.{model}"
    plan = config["models"][model][phase]
    return [f"{entry}.architecture", f"{entry}.{phase}", f"{entry}.seed", f"plans.{plan}", "numerics"]


def base_keys(config: Config, model: str) -> list[str]:
    """Parameters of a pre-training."""
    return phase_keys(config, model, "base")


def instruct_keys(config: Config, model: str) -> list[str]:
    """Parameters of an instruction tuning."""
    return phase_keys(config, model, "instruct")


def call_keys(config: Config, model: str) -> list[str]:
    """Parameters of a call tuning."""
    return phase_keys(config, model, "call")
