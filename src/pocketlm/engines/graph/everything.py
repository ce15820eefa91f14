"""Everything that a run makes; ``rule all`` asks for all of it."""

from __future__ import annotations

from pocketlm.engines.graph.base import PHASES, Config, arch_files, manifests, model_manifests, names, with_folders
from pocketlm.engines.graph.claims import claim_artefacts
from pocketlm.engines.graph.data import corpus_shards, used_sources
from pocketlm.engines.graph.deployments import quantized_models, scored_phases
from pocketlm.engines.graph.models import inheriting, phases, with_phase
from pocketlm.engines.graph.search import all_trials, promoted


def data_artefacts(config: Config) -> list[str]:
    """Sources, tokenizers, tokens and the shards that large corpora are joined from."""
    return [
        *with_folders(manifests("data", used_sources(config))),
        *with_folders(manifests("tokenizers", list(config["tokenizers"]))),
        *(path for corpus in config["corpora"] for path in with_folders(corpus_shards(config, corpus))),
        *with_folders(manifests("tokens", list(config["corpora"]))),
        *contamination(config),
    ]


def contamination(config: Config) -> list[str]:
    """Contamination tables of the corpora."""
    return [f"results/tokens/{corpus}.contamination.json" for corpus in config["corpora"]]


def calibrations(config: Config) -> list[str]:
    """Calibration facts: of the device that the search aims at."""
    return [f"results/facts/{config['search']['device']}/calibration.json"] if config["search"]["enabled"] else []


def profile_facts(config: Config) -> list[str]:
    """Measured speeds and sizes."""
    return [f"results/facts/{entry['device']}/{name}.json" for name, entry in config["profiles"].items()]


def front(config: Config) -> list[str]:
    """The search's result."""
    return ["results/search/front.json"] if config["search"]["enabled"] else []


def search_artefacts(config: Config) -> list[str]:
    """Predictor, rungs, trials, front and winners."""
    if not config["search"]["enabled"]:
        return []
    fixed = [f"results/search/{name}.json" for name in ("predictor", "proposal", "random", "front")]
    return [*fixed, *all_trials(config), *promoted(config), *arch_files(config, names(config, "searched"))]


def trained(config: Config) -> list[str]:
    """``results/models/<model>/<phase>`` of every phase that is trained here."""
    return [f"results/models/{model}/{phase}" for phase in PHASES for model in with_phase(config, phase)]


def all_phases(config: Config) -> list[str]:
    """Manifests of every phase of every model, imported ones too."""
    return [path for model in config["models"] for path in model_manifests(model, phases(config, model))]


def starts(config: Config) -> list[str]:
    """What models inherited, and the account of it."""
    inherited = [f"results/models/{model}/start" for model in inheriting(config)]
    return [path + ending for path in inherited for ending in ("", ".manifest.json", ".json")]


def training_metrics(config: Config, ending: str) -> list[str]:
    """``.metrics.json`` or ``.curve.csv`` of every trained phase."""
    return [path + ending for path in trained(config)]


def metrics(config: Config) -> list[str]:
    """Final losses of every trained phase."""
    return training_metrics(config, ".metrics.json")


def curves(config: Config) -> list[str]:
    """Loss curves of every trained phase."""
    return training_metrics(config, ".curve.csv")


def samples(config: Config) -> list[str]:
    """Values by item of every score table."""
    return [path.removesuffix(".json") + ".samples.jsonl" for path in scores(config)]


def predictor(config: Config) -> list[str]:
    """The latency predictor."""
    return ["results/search/predictor.json"] if config["search"]["enabled"] else []


def report_manifests(config: Config) -> list[str]:
    """Manifests whose hashes the report lists, beside those of the data."""
    made = [("tokenizers", config["tokenizers"]), ("tokens", config["corpora"]), ("deploy", quantized_models(config))]
    return [*(path for kind, found in made for path in manifests(kind, list(found))), *all_phases(config)]


def sizes(config: Config) -> list[str]:
    """Size tables of the quantized models."""
    return [f"results/deploy/{model}.sizes.json" for model in quantized_models(config)]


def scores(config: Config) -> list[str]:
    """Score tables: of every model with a scored phase, on every suite."""
    pairs = ((suite, model) for suite in config["suites"] for model in config["models"])
    return [f"results/scores/{suite}/{model}.json" for suite, model in pairs if scored_phases(config, model, suite)]


def artefacts(config: Config) -> list[str]:
    """Every tracked artefact of a run."""
    return [
        *data_artefacts(config),
        *calibrations(config),
        *search_artefacts(config),
        *profile_facts(config),
        *with_folders(all_phases(config)),
        *starts(config),
        *metrics(config),
        *curves(config),
        *with_folders(manifests("deploy", quantized_models(config))),
        *sizes(config),
        *scores(config),
        *samples(config),
        *claim_artefacts(config),
        *(f"results/report/{name}" for name in ("index.html", "table.csv", "metrics.json")),
    ]
