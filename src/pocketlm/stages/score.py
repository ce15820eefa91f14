"""Stage ``score``: every phase and deployment of a model on one suite, through lm-eval's evaluator."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pocketlm import artifacts, config

if TYPE_CHECKING:
    from pocketlm.scoring.evaluate import Target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm score``."""
    parser.add_argument("--params", default="params.yaml", help="configuration of the run")
    parser.add_argument("--entry", required=True, help="name of the model in models:")
    parser.add_argument("--suite", required=True, help="name of the suite in suites:")
    parser.add_argument(
        "--models", nargs="+", required=True, help="manifests of its phases, results/models/M/P.manifest.json"
    )
    parser.add_argument("--deploy", help="manifest of its deployments, results/deploy/M.manifest.json")
    parser.add_argument("--data", nargs="*", default=[], help="manifests of the sources of the suite's tasks")
    parser.add_argument("--out", help="tidy rows (JSON)")
    parser.add_argument("--samples", help="values by item (jsonl), for paired differences")
    parser.add_argument(
        "--export-tasks", help="instead of scoring, write the tasks for the lm_eval command into this folder"
    )


def run(args: argparse.Namespace) -> None:
    """Write rows and samples. Raises ArtifactError for a damaged folder or a task item with a missing field."""
    from pocketlm import numerics

    params = config.load(args.params)
    runtime = numerics.apply(numerics.alone(params.numerics))
    suite = _entry(params.suites, args.suite, "suites")
    model = _entry(params.models, args.entry, "models")
    from pocketlm.scoring.evaluate import Scorer
    from pocketlm.scoring.tasks import read_tasks

    tasks = read_tasks(suite, _folders(args.data), _heldout(params))
    targets = _targets(args, params, suite)
    if args.export_tasks:
        _export(tasks, targets[0], Path(args.export_tasks), suite)
        return
    if not (args.out and args.samples):
        raise artifacts.ArtifactError("score needs --out and --samples (or --export-tasks)")
    scorer, stream = Scorer(tasks, suite, runtime.device), sys.stderr
    rows: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    about = {"model": args.entry, "suite": args.suite}
    for number, target in enumerate(targets, 1):
        label = f"score {args.entry} {args.suite}: {number}/{len(targets)} {target.phase} {target.scheme}"
        began = time.monotonic()
        new_rows, new_samples = scorer.score(target, partial(_say, stream, label))
        rows += [about | {"seed": model.seed} | row for row in new_rows]
        samples += [about | row for row in new_samples]
        print(f"{label}: done in {time.monotonic() - began:.1f} s", file=stream)
    artifacts.write_jsonl(args.samples, samples)
    artifacts.write_json(args.out, rows)
    print(f"score {args.entry} {args.suite}: {len(rows)} scores on {runtime.device} -> {args.out}", file=sys.stderr)


def _say(stream: TextIO, label: str, message: str) -> None:
    print(f"{label}: {message}", file=stream, flush=True)


def _entry(section: dict[str, Any], name: str, key: str) -> Any:
    if name not in section:
        raise config.ConfigError(f"{key}.{name}: no such entry; there are {', '.join(sorted(section)) or 'none'}")
    return section[name]


def _folders(manifests: list[str]) -> dict[str, Path]:
    """{source: checked folder}"""
    for manifest in manifests:
        artifacts.check_manifest(artifacts.folder_of(manifest), manifest)
    return {artifacts.folder_of(manifest).name: artifacts.folder_of(manifest) for manifest in manifests}


def _heldout(params: config.Params) -> dict[str, float]:
    """{source: share of its documents that training leaves out}, from the corpora's parts."""
    parts = [part for corpus in params.corpora.values() for part in corpus.parts.values()]
    return {part.source: part.heldout for part in parts if part.split == "train" and part.heldout}


def _targets(args: argparse.Namespace, params: config.Params, suite: config.Suite) -> list[Target]:
    """The bf16 phases that the suite wants, then the quantized deployments that exist."""
    from pocketlm.scoring.evaluate import Target
    from pocketlm.stages._phases import phase_folders

    targets = [
        Target(folder, phase, "bf16") for phase, folder in phase_folders(args.models).items() if phase in suite.phases
    ]
    if args.deploy:
        folder = artifacts.folder_of(args.deploy)
        artifacts.check_manifest(folder, args.deploy)
        for _, entry in sorted(params.deployments.items()):
            own = folder / f"{entry.phase}-{entry.scheme}"
            new = Target(own, entry.phase, entry.scheme)
            if entry.model == args.entry and entry.phase in suite.phases and own.is_dir() and new not in targets:
                targets.append(new)
    return targets


def _export(tasks: list[Any], target: Target, folder: Path, suite: config.Suite) -> None:
    from pocketlm.data.chat import Chat
    from pocketlm.scoring.tasks import export

    folder.mkdir(parents=True, exist_ok=True)
    export(tasks, Chat(target.folder), folder, suite.max_new_tokens)
    print(f"score: {len(tasks)} tasks -> {folder}; lm_eval --include_path {folder} --tasks …", file=sys.stderr)
