"""What the entries of ``params.yaml`` mean for the DAG: which artefact each job reads, which keys it depends on.

Works on the plain dictionary of params.yaml (Snakemake's ``config``) and imports nothing heavy. Paths are relative to
the run folder.
"""

from __future__ import annotations

import os
from typing import Any

from pocketlm.engines.closure import ROOT

Config = dict[str, Any]
PHASES = ("base", "instruct", "call")


def lookup(config: Config, key: str) -> Any:
    """The value at a dotted key."""
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value


# ---- data


def part_sources(config: Config, corpora: list[str]) -> list[str]:
    """Sources whose documents a list of corpora reads."""
    return sorted({part["source"] for name in corpora for part in config["corpora"][name]["parts"].values()})


def suite_sources(config: Config, suites: list[str]) -> list[str]:
    """Sources whose items a list of suites reads."""
    tasks = [task for name in suites for task in config["suites"][name]["tasks"].values()]
    return sorted({source for task in tasks for source in (task["source"], task["labels"]) if source})


def used_sources(config: Config) -> list[str]:
    """Sources that the run reads; a declared source that nothing uses is not downloaded."""
    return sorted({*part_sources(config, list(config["corpora"])), *suite_sources(config, list(config["suites"]))})


def source_keys(config: Config, source: str) -> list[str]:
    """Parameters of a download: the embedded source is made from ``world``."""
    embedded = config["sources"][source]["kind"] == "embedded"
    return [f"sources.{source}", *(["world"] if embedded else [])]


def manifests(kind: str, names: list[str]) -> list[str]:
    """Manifest paths of folder artefacts: ``results/<kind>/<name>.manifest.json``."""
    return [f"results/{kind}/{name}.manifest.json" for name in names]


def tokenizer_data(config: Config, tokenizer: str) -> list[str]:
    """Manifests of the sources whose text a tokenizer is trained or counted on."""
    return manifests("data", part_sources(config, config["tokenizers"][tokenizer]["corpora"]))


def tokenizer_base(config: Config, tokenizer: str) -> list[str]:
    """Manifest of the tokenizer that a compressed one is cut from."""
    base = config["tokenizers"][tokenizer]["base"]
    return manifests("tokenizers", [base] if base else [])


def tokenizer_keys(config: Config, tokenizer: str) -> list[str]:
    """Parameters of a tokenizer: its entry, and what its corpora draw without what they hold out."""
    corpora = config["tokenizers"][tokenizer]["corpora"]
    drawn = [f"corpora.{name}.{key}" for name in corpora for key in ("parts", "validation")]
    return [f"tokenizers.{tokenizer}", *drawn]


def corpus_data(config: Config, corpus: str) -> list[str]:
    """Manifests of a corpus's sources, and of the evaluation items that are looked up in it."""
    items = suite_sources(config, config["corpora"][corpus]["decontaminate"])
    return manifests("data", sorted({*part_sources(config, [corpus]), *items}))


def corpus_tokenizer(config: Config, corpus: str) -> str:
    """Manifest of a corpus's tokenizer."""
    return manifests("tokenizers", [config["corpora"][corpus]["tokenizer"]])[0]


def corpus_keys(config: Config, corpus: str) -> list[str]:
    """Parameters of an encoding: its entry and the tasks that it is checked against."""
    suites = config["corpora"][corpus]["decontaminate"]
    return [f"corpora.{corpus}", *(f"suites.{name}.tasks" for name in suites), *heldout_keys(config, suites)]


def heldout_keys(config: Config, suites: list[str]) -> list[str]:
    """Parts of corpora that leave documents of these suites' sources out of training: the items are what is left."""
    sources = suite_sources(config, suites)
    return [
        f"corpora.{name}.parts"
        for name, corpus in config["corpora"].items()
        if any(part["source"] in sources and part["heldout"] for part in corpus["parts"].values())
    ]


# ---- models


def names(config: Config, *kinds: str) -> list[str]:
    """Models whose architecture is of one of these kinds (searched, named, imported)."""
    return [name for name, model in config["models"].items() if model["architecture"]["kind"] in kinds]


def with_phase(config: Config, phase: str) -> list[str]:
    """Models that are trained in a phase."""
    trained = [name for name, model in config["models"].items() if model[phase]]
    return [name for name in trained if phase != "base" or name not in names(config, "imported")]


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


def arch_files(config: Config, models: list[str]) -> list[str]:
    """Architecture files of the searched ones among some models."""
    return [f"results/arch/{name}.json" for name in models if name in names(config, "searched")]


# ---- deployments


def deployments(config: Config, model: str, quantized: bool = False) -> dict[str, Config]:
    """A model's deployments; ``quantized`` leaves out bf16, which is the model folder itself."""
    entries = {name: entry for name, entry in config["deployments"].items() if entry["model"] == model}
    return {name: entry for name, entry in entries.items() if not quantized or entry["scheme"] != "bf16"}


def quantized_models(config: Config) -> list[str]:
    """Models with at least one quantized deployment."""
    return [name for name in config["models"] if deployments(config, name, quantized=True)]


def deployed_phases(config: Config, model: str) -> list[str]:
    """Phases that quantization reads."""
    wanted = {entry["phase"] for entry in deployments(config, model, quantized=True).values()}
    return [phase for phase in PHASES if phase in wanted]


def scored_phases(config: Config, model: str, suite: str) -> list[str]:
    """Phases whose folders scoring reads: the suite's, as far as the model has them."""
    return [phase for phase in phases(config, model) if phase in config["suites"][suite]["phases"]]


def model_manifests(model: str, wanted: list[str]) -> list[str]:
    """Manifests of a model's phases."""
    return [f"results/models/{model}/{phase}.manifest.json" for phase in wanted]


def deployment_keys(config: Config, model: str) -> list[str]:
    """Parameters of a model's quantized deployments."""
    return [f"deployments.{name}" for name in deployments(config, model, quantized=True)]


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
    own = [f"suites.{suite}", f"models.{model}.seed", "numerics"]
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


# ---- search


def propose_keys(config: Config) -> list[str]:
    """Parameters of the proposal: space, budgets, slots, and the named models that take part."""
    search = [f"search.{key}" for key in ("space", "budget", "rungs", "anchors", "random", "seed")]
    reference = config["search"]["budget"]["reference"]
    named = sorted({*config["search"]["anchors"], *([reference] if reference else [])})
    anchors = [f"models.{name}.architecture" for name in named]
    vocabularies = [f"tokenizers.{name}.vocab_size" for name in config["search"]["space"]["tokenizers"]]
    return [*search, *anchors, *vocabularies]


def trial_keys(config: Config) -> list[str]:
    """Parameters of a proxy training."""
    return ["search.plan", f"plans.{config['search']['plan']}", "search.rungs", "search.seed", "numerics"]


def random_keys(config: Config) -> list[str]:
    """Parameters of the random arm."""
    return [*trial_keys(config), "search.random"]


def select_keys(config: Config) -> list[str]:
    """Parameters of the choice of winners."""
    winners = [f"models.{name}.architecture" for name in names(config, "searched")]
    return ["search.epsilon", "search.separation", *winners]


def search_tokens(config: Config) -> list[str]:
    """Manifests of the trials' tokens."""
    return manifests("tokens", search_corpora(config))


def search_corpora(config: Config) -> list[str]:
    """Corpora of the trials: the proxy plan's own, and its twins under the other tokenizers of the space."""
    own = config["plans"][config["search"]["plan"]]["corpus"]
    parts, space = config["corpora"][own]["parts"], config["search"]["space"]["tokenizers"]
    twins = [n for n, c in config["corpora"].items() if c["parts"] == parts and c["tokenizer"] in space]
    return [own, *(name for name in twins if name != own)]


def slots(config: Config, rung: int) -> list[str]:
    """Trial files of one rung."""
    if rung < 0:
        return []
    return [f"results/search/trials/r{rung}-s{slot}.json" for slot in range(config["search"]["rungs"][rung]["slots"])]


def trials_before(config: Config, rung: str) -> list[str]:
    """Trial files of the rung before one."""
    return slots(config, int(rung) - 1)


def all_trials(config: Config) -> list[str]:
    """Trial files of all rungs."""
    return [path for rung in range(len(config["search"]["rungs"])) for path in slots(config, rung)]


def candidates(config: Config, rung: int | str) -> str:
    """The file that names the candidates of a rung."""
    return "results/search/proposal.json" if int(rung) == 0 else f"results/search/rung{rung}.json"


def first_candidates(config: Config) -> str:
    """The file that names the candidates of the first rung and of the random arm."""
    return candidates(config, 0)


def promoted(config: Config) -> list[str]:
    """Files of the rungs after the first."""
    return [candidates(config, rung) for rung in range(1, len(config["search"]["rungs"]))]


# ---- everything that a run makes; ``rule all`` asks for all of it


def with_folders(paths: list[str]) -> list[str]:
    """Manifests and the folders that they describe."""
    return [path for manifest in paths for path in (manifest, manifest.removesuffix(".manifest.json"))]


def data_artefacts(config: Config) -> list[str]:
    """Sources, tokenizers, token shards."""
    return [
        *with_folders(manifests("data", used_sources(config))),
        *with_folders(manifests("tokenizers", list(config["tokenizers"]))),
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
        *metrics(config),
        *curves(config),
        *with_folders(manifests("deploy", quantized_models(config))),
        *sizes(config),
        *scores(config),
        *samples(config),
        *(f"results/report/{name}" for name in ("index.html", "table.csv", "metrics.json")),
    ]
