"""``pocketlm run``: sync, snakemake, record; both engines are clean at the end, or it is said what is not.

What does not belong to it is handed to Snakemake: ``pocketlm run runs/mine -j4 --until score``.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError
from pocketlm.engines import orphan, store
from pocketlm.engines.closure import ROOT
from pocketlm.engines.dag import need_params
from pocketlm.engines.record import record
from pocketlm.engines.sync import sync

# Snakemake's names of its options after which there is nothing to record.
LOOKS = (
    *("dryrun", "summary", "detailed_summary", "dag", "rulegraph", "filegraph", "d3dag", "lint", "report", "archive"),
    *("list_rules", "list_target_rules", "list_changes", "list_input_changes", "list_params_changes", "list_untracked"),
    *("unlock", "cleanup_metadata", "cleanup_shadow", "delete_all_output", "delete_temp_output", "print_compilation"),
    *("containerize", "export_cwl", "generate_unit_tests", "list_conda_envs", "conda_create_envs_only"),
    "conda_cleanup_envs",
)
INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def only_looks(arguments: list[str]) -> bool:
    """Whether Snakemake makes nothing with these arguments: by its own parser, which knows ``-np`` and ``--dryrun``.

    Raises ConfigError for ``--touch``, after which Snakemake holds what is stale up to date.
    """
    from snakemake.cli import get_argument_parser

    options, _ = get_argument_parser().parse_known_args(arguments)
    if options.touch or options.executor == "touch":
        raise ConfigError("--touch would record as fresh what is stale; after dvc pull or checkout: pocketlm sync")
    return options.executor == "dryrun" or any(getattr(options, name) not in (None, False) for name in LOOKS)


def snakemake(folder: Path, *arguments: str) -> int:
    """Run Snakemake in a run folder; returns its exit status, or 128 + number of the signal that ended it.

    An interrupt is Snakemake's to handle, not ours; its own status, 1, is that of a failed stage too.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), orphan.VARIABLE: orphan.name()}
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), *arguments]
    process = subprocess.Popen(command, cwd=folder, env=own)
    got: list[int] = []

    def note(number: int, _: object) -> None:
        got.append(number)
        if number == signal.SIGTERM:  # the terminal sends SIGINT to Snakemake too
            process.terminate()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = process.wait()
        return 128 + got[0] if got else status
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def arrange(arguments: list[str]) -> list[str]:
    """Folder first, then ``--``: argparse leaves alone what is Snakemake's."""
    if arguments[:1] in (["-h"], ["--help"]):
        return arguments
    named = bool(arguments) and not arguments[0].startswith("-")
    return [arguments[0] if named else ".", "--", *arguments[named:]]


def some(names: list[str]) -> str:
    """The first names of a list."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm run``."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder, first (default: here)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="handed to snakemake: -j4, -n, targets")


def run(args: argparse.Namespace) -> int:
    """Sync, run, record; returns Snakemake's exit status, or 1 where the engines do not agree."""
    if "DVC_STAGE" in os.environ:
        raise ArtifactError("inside a DVC stage; dvc repro records by itself")
    need_params(args.folder)
    looks = only_looks(args.arguments)
    if (args.folder / "dvc.lock").is_file():
        clean, left = sync(args.folder)
        print(f"synced {len(clean)} of {len(clean) + len(left)} jobs", file=sys.stderr)
    status = snakemake(args.folder, *args.arguments)
    if looks:
        return status
    recorded, stale = record(args.folder)
    changed = store.changed(args.folder)
    names = [job.name for job in stale]
    names += sorted(changed - set(names) - {"code"})
    done = f"pocketlm run: recorded {len(recorded)} stages"
    if names:
        print(f"{done}; not up to date: {some(names)}; " + ("results/logs says why" if status else "snakemake -n"))
    else:
        print(f"{done}; Snakemake and DVC have nothing to do")
    return status if status or not changed - {job.name for job in stale} - {"code"} else 1
