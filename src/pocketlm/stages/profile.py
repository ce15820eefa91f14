"""Measures prefill, decode, load and memory of the models of a profile entry."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from pocketlm import artifacts, config
from pocketlm.config import Architecture, ConfigError, Params


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm profile``."""
    parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    parser.add_argument("--entry", required=True, help="name in profiles: of params.yaml")
    parser.add_argument("--arch", nargs="*", default=[], help="results/arch/*.json of the searched models")
    parser.add_argument("--out", required=True, help="results/facts/DEVICE/ENTRY.json")


def run(args: argparse.Namespace) -> None:
    """Write the rows of a profile."""
    params = config.load(args.params)
    if args.entry not in params.profiles:
        raise ConfigError(f"{args.params}: profiles: no entry {args.entry}; there are: {', '.join(params.profiles)}")
    entry = params.profiles[args.entry]
    for key, names, known in (("device", [entry.device], params.devices), ("models", entry.models, params.models)):
        missing = [name for name in names if name not in known]
        if missing:
            raise ConfigError(
                f"{args.params}: profiles.{args.entry}.{key}: no entry {missing[0]} in {key.rstrip('s')}s"
            )
    files = {Path(path).stem: path for path in args.arch}
    models = {name: shape(params, name, files) for name in entry.models}
    from pocketlm.profiling.profile import profile

    found = profile(entry.device, params.devices[entry.device], models, entry.runtimes, params.numerics.precision)
    for absent in found["left_out"]:
        print(f"profile {args.entry}: {absent['runtime']} left out: {absent['why']}", file=sys.stderr)
    artifacts.write_json(args.out, found)


def shape(params: Params, name: str, files: dict[str, str]) -> tuple[Architecture, int]:
    """(architecture, vocabulary) of a model: searched from its file, imported from its folder, named from params."""
    arch = params.models[name].architecture
    if arch.kind == "searched":
        if name not in files:
            raise ConfigError(f"profile: {name} is searched; give --arch results/arch/{name}.json")
        data = artifacts.read_json(files[name])
        known = {field.name for field in fields(Architecture)}
        return Architecture(**{k: v for k, v in data.items() if k in known}), int(data["vocab_size"])
    if arch.kind == "imported":
        return imported(str(arch.path))
    if arch.tokenizer not in params.tokenizers:
        raise ConfigError(f"models.{name}.architecture.tokenizer={arch.tokenizer}: no such entry in tokenizers")
    return arch, params.tokenizers[arch.tokenizer].vocab_size


def imported(folder: str) -> tuple[Architecture, int]:
    """The shape of a local Hugging Face folder of a known layout, from its ``config.json``."""
    from pocketlm.model.foreign import import_config

    return import_config(folder)
