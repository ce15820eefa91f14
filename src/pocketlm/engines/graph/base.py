"""What the rooms of the graph share: the plain configuration, and paths of manifests."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]
PHASES = ("base", "instruct", "call")
# Of numerics, what a stage depends on that is always a single process: not how many a training has.
SINGLE = [f"numerics.{key}" for key in ("device", "precision", "threads", "compile")]


def lookup(config: Config, key: str) -> Any:
    """The value at a dotted key."""
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value


def manifests(kind: str, names: list[str]) -> list[str]:
    """Manifest paths of folder artefacts: ``results/<kind>/<name>.manifest.json``."""
    return [f"results/{kind}/{name}.manifest.json" for name in names]


def model_manifests(model: str, wanted: list[str]) -> list[str]:
    """Manifests of a model's phases."""
    return [f"results/models/{model}/{phase}.manifest.json" for phase in wanted]


def names(config: Config, *kinds: str) -> list[str]:
    """Models whose architecture is of one of these kinds (searched, named, imported)."""
    return [name for name, model in config["models"].items() if model["architecture"]["kind"] in kinds]


def arch_files(config: Config, models: list[str]) -> list[str]:
    """Architecture files of the searched ones among some models."""
    kinds = {name: config["models"][name]["architecture"]["kind"] for name in models}
    return [f"results/arch/{name}.json" for name in models if kinds[name] == "searched"]


def with_folders(paths: list[str]) -> list[str]:
    """Manifests and the folders that they describe."""
    return [path for manifest in paths for path in (manifest, manifest.removesuffix(".manifest.json"))]
