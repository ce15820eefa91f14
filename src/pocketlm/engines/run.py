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
from pocketlm.engines import orphan, store
from pocketlm.engines.closure import ROOT
from pocketlm.engines.dag import need_params
from pocketlm.engines.record import record
from pocketlm.engines.sync import sync

LOOKS = {"-n", "--dry-run", "--dryrun", "--unlock", "--summary", "--dag", "--rulegraph", "--list", "-l", "--lint"}


def snakemake(folder: Path, *arguments: str) -> int:
    """Run Snakemake in a run folder; returns its exit status. An interrupt is Snakemake's to handle, not ours."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), orphan.VARIABLE: orphan.name()}
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), *arguments]
    process = subprocess.Popen(command, cwd=folder, env=own)
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),  # the terminal sends it to Snakemake too
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
    }
    try:
        return process.wait()
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
    if (args.folder / "dvc.lock").is_file():
        clean, left = sync(args.folder)
        print(f"synced {len(clean)} of {len(clean) + len(left)} jobs", file=sys.stderr)
    status = snakemake(args.folder, *args.arguments)
    if LOOKS & set(args.arguments):
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
