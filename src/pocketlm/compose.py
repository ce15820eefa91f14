"""``pocketlm compose recipe=demo key=value``: a Hydra composition of ``conf/``, written out in full as params.yaml.

Hydra is used here and nowhere else. The result is complete (every key of the schema), grouped as the schema is, with
entries sorted by name, so that the same recipe and overrides give the same bytes; ``--check`` proves it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List

from pocketlm.artifacts import write_text
from pocketlm.config import Architecture, ConfigError, Model, Params, again, load, parse
from pocketlm.deployable import OPTIONS, refusal, unsupported

CONF = Path(__file__).resolve().parents[2] / "conf"
COMPILE_SECONDS = 90.0  # for the forward and backward pass of one shape, the first time
COMPILE_GAIN = 0.1  # of a step's time
CORE_FLOPS = 4e10  # that a core trains with in fp32
GPU_FLOPS = 2e14  # that a GPU trains with in bf16
HEADER = "# Written by pocketlm compose; change it there, or by dvc exp run -S. Keys: src/pocketlm/schema\n"


@dataclass
class Deploy:
    """What compose expands into ``deployments``: models x phases x schemes, without what cannot exist."""

    models: List[str] = field(default_factory=list)  # empty: all
    phases: List[str] = field(default_factory=lambda: ["call"])
    schemes: List[str] = field(default_factory=lambda: ["bf16", "int8", "int4"])


@dataclass
class Recipe(Params):
    """A recipe: the schema of params.yaml, and what is expanded before it is written."""

    deploy: Deploy = field(default_factory=Deploy)
    arms: Dict[str, Model] = field(default_factory=dict)  # models that are trained once a seed
    seeds: List[int] = field(default_factory=lambda: [0])


def recipes() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))


def hydra_compose(recipe: str, overrides: list[str]) -> dict[str, Any]:
    """The merged configuration as plain data. Raises ConfigError with Hydra's reason in one line."""
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if recipe not in recipes():
        raise ConfigError(f"recipe={recipe}: no such recipe in conf/recipe; there are: {', '.join(recipes())}")
    ConfigStore.instance().store(name="schema", node=Recipe)
    try:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            merged = compose(config_name=f"recipe/{recipe}", overrides=overrides)
        data: Any = OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        reasons = [error, *([error.__cause__] if error.__cause__ else [])]
        reason = " ".join(" ".join(str(reason) for reason in reasons).split())
        raise ConfigError(f"recipe={recipe} {' '.join(overrides)}: {reason}") from None
    return dict(data)


def impossible(model: dict[str, Any], phase: str, scheme: str, space: dict[str, Any]) -> str | None:
    """Why a model cannot be deployed so; None if it can, or if that depends on what the search finds."""
    arch = model["architecture"]
    if phase != "base" and not model[phase] or phase == "base" and not model["base"] and arch["kind"] != "imported":
        return f"it has no phase {phase}"
    if not scheme.startswith("gguf") or arch["kind"] == "imported":
        return None
    if arch["kind"] == "searched":
        return refusal({option: space.get(option, [arch[option]]) for option in OPTIONS})
    return unsupported(Architecture(**arch), scheme)


def expand(data: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Replace ``deploy`` by explicit deployments; returns the data and a line for each pair that was left out."""
    deploy, left_out = data.pop("deploy"), []
    for name in deploy["models"] or sorted(data["models"]):
        if name not in data["models"]:
            raise ConfigError(f"deploy.models: no model {name!r}; there are: {', '.join(sorted(data['models']))}")
        for phase in deploy["phases"]:
            for scheme in deploy["schemes"]:
                reason = impossible(data["models"][name], phase, scheme, data["search"]["space"])
                if reason:
                    left_out.append(f"left out: {name} {phase} as {scheme}: {reason}")
                    continue
                runtime = "llamacpp" if scheme.startswith("gguf") else "torch"
                entry = {"model": name, "phase": phase, "scheme": scheme, "runtime": runtime}
                data["deployments"][f"{name}-{phase}-{scheme}"] = entry
    return data, left_out


def repeat(data: dict[str, Any]) -> dict[str, Any]:
    """Replace ``arms`` by a model a seed, ``<arm>_s<seed>``, and the arms that claims name by those models."""
    arms, seeds = data.pop("arms"), data.pop("seeds")
    copies = {arm: {f"{arm}_s{seed}": {**model, "seed": seed} for seed in seeds} for arm, model in arms.items()}
    for models in copies.values():
        data["models"] |= models
    for claim in data["claims"].values():
        for side in ("a", "b"):
            claim[side] = [model for name in claim[side] for model in copies.get(name, [name])]
    return data


def ordered(value: Any, schema: Any) -> Any:
    """Fields in the schema's order, entries of a dictionary by name."""
    import dataclasses

    if dataclasses.is_dataclass(schema):
        return {f.name: ordered(value[f.name], getattr(schema, f.name)) for f in dataclasses.fields(schema)}
    if isinstance(schema, dict):
        return {key: ordered(value[key], schema[key]) for key in sorted(schema)}
    return value


def dump(data: dict[str, Any]) -> str:
    """YAML with one key a line and short lists in one."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def represent(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
        flat = not any(isinstance(value, (dict, list)) for value in values)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flat)

    Dumper.add_representer(list, represent)
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)


def compose(recipe: str, overrides: list[str]) -> tuple[str, list[str]]:
    """(text of params.yaml, lines that say what was left out) of a recipe with overrides ``key=value``."""
    from pocketlm.config import as_dict

    data, left_out = expand(repeat(hydra_compose(recipe, overrides)))
    data |= {"_recipe": recipe, "_overrides": overrides}
    name = f"recipe={recipe}"
    params = parse(data, name)
    return HEADER + dump(ordered(as_dict(params), params)), left_out


def check(path: Path) -> None:
    """Raise ConfigError unless ``path`` is what its own recipe and overrides compose to."""
    params = load(path)
    text, _ = compose(params._recipe, params._overrides)
    if path.read_text(encoding="utf-8") == text:
        return
    lines = zip(path.read_text(encoding="utf-8").splitlines(), text.splitlines())
    differs = next(
        (f"{found.strip()!r} instead of {want.strip()!r}" for found, want in lines if found != want), "length"
    )
    command = again({"_recipe": params._recipe, "_overrides": params._overrides}, str(path))
    raise ConfigError(f"{path}: not what its recipe composes to: {differs}; write it again with: {command}")


def suggestion(params: Params) -> list[str]:
    """A line that recommends ``numerics.compile`` where a training is long enough to pay for it; never a change.

    Compiling costs COMPILE_SECONDS a shape and saves COMPILE_GAIN of each step; docs/benchmarks.md has what was
    measured. In bf16 on a CPU it loses against the hand-written passes (``model/kernels.py``); on a GPU it is assumed.
    """
    from pocketlm.plan import trainings

    numerics = params.numerics
    if numerics.compile or (numerics.device == "cpu" and numerics.precision == "bf16"):
        return []
    rate = CORE_FLOPS * numerics.threads if numerics.device == "cpu" else GPU_FLOPS
    saved = {one.name: COMPILE_GAIN * one.flops / rate - COMPILE_SECONDS for one in trainings(params)}
    name = max(saved, key=lambda key: saved[key], default="")
    if not name or saved[name] < COMPILE_SECONDS:
        return []
    hours = (saved[name] + COMPILE_SECONDS) / COMPILE_GAIN / 3600
    return [
        f"numerics.compile: false, but {name} trains for about {hours:.1f} hours; compiled, "
        f"it would save about {saved[name] / 60:.0f} minutes after {COMPILE_SECONDS:.0f} s of compiling (needs a C++ "
        "compiler); to do so, compose with numerics.compile=true"
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm compose``."""
    parser.add_argument("values", nargs="*", metavar="key=value", help="recipe=NAME and Hydra overrides")
    parser.add_argument("--into", type=Path, default=Path("."), help="run folder that gets params.yaml (default: here)")
    parser.add_argument("--check", action="store_true", help="only check that params.yaml is re-derivable")
    parser.add_argument("--list", action="store_true", help="list the shipped recipes")


def run(args: argparse.Namespace) -> None:
    """Write params.yaml into the run folder, and say what was left out."""
    target = args.into / "params.yaml"
    if args.list:
        print("\n".join(recipes()))
        return
    if args.check:
        check(target)
        print(f"{target}: re-derivable")
        return
    given = [value for value in args.values if value.startswith("recipe=")]
    recipe = given[-1].partition("=")[2] if given else "demo"
    overrides = [value for value in args.values if not value.startswith("recipe=")]
    text, left_out = compose(recipe, overrides)
    args.into.mkdir(parents=True, exist_ok=True)
    write_text(target, text)
    left_out += suggestion(load(target))
    print("\n".join([*left_out, f"{target}: recipe {recipe}, written"]), file=sys.stderr)
