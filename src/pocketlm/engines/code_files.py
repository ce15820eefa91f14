"""``pocketlm code``: the code files of a run folder, ``results/code/STAGE.json``, as the sources are now.

Whatever reads the Snakefile brings them up to date, a look (``snakemake -n``, ``pocketlm gc``) too, so that an edited
source shows as stale. Not beside a run: its jobs started with the sources of before, and Snakemake notes a job's inputs
at the job's end. The new meaning would be noted for what the old one made, and nothing would ever call it stale.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from pocketlm.artifacts import canonical, write_text
from pocketlm.cli import STAGES
from pocketlm.engines import closure, lock


def code(stage: str) -> str:
    """The code file of a stage in the run folder."""
    return f"results/code/{stage}.json"


def alone() -> contextlib.AbstractContextManager[None]:
    """Be the run folder's only writer, if this process is not that already. Raises ArtifactError."""
    holder = lock.FILE.read_text(encoding="utf-8") if lock.FILE.is_file() else ""
    if f"(process {os.getpid()})" in holder:  # the next holder overwrites it
        return contextlib.nullcontext()
    return lock.alone(Path("."), "pocketlm code")


def refresh(stages: Iterable[str] = STAGES) -> None:
    """Write the code files that differ; an unchanged one is not touched.

    Raises ArtifactError, with the name of the process, if one differs and another process is at work here.
    """
    texts = {Path(code(stage)): canonical(closure.fingerprint(stage)) for stage in stages}
    closure.remember()
    old = [path for path, text in texts.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if old:
        with alone():
            for path in old:
                write_text(path, texts[path])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm code``."""
    parser.add_argument("stages", nargs="*", help="stages (default: all)")


def run(args: argparse.Namespace) -> None:
    """Bring the run folder's code files up to date."""
    refresh(args.stages or STAGES)
