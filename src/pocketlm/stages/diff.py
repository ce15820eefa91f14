"""Command ``diff``: what two runs differ in: parameters, scores, bytes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pocketlm.report.diff import Change


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm diff``."""
    parser.add_argument("left", help="run folder")
    parser.add_argument("right", help="run folder to compare with it")
    parser.add_argument("--all", action="store_true", help="print every difference, not the first 20 of each kind")


def run(args: argparse.Namespace) -> None:
    """Print the differences; facts are measured anew on each machine and are marked."""
    from pocketlm.report import diff

    left, right = Path(args.left), Path(args.right)
    limit = None if args.all else 20
    show("parameters", diff.parameters(left, right), limit)
    show("scores", diff.scores(left, right), limit)
    changed, same = diff.bytes_changed(left, right)
    for change in changed:
        change.left, change.right = change.left[:12], change.right[:12]
        if change.name.startswith("results/facts/"):
            change.note = "(a fact, measured)"
    show("artefacts", changed, limit)
    print(f"{same} artefact files are the same in both.")


def show(kind: str, changes: list[Change], limit: int | None) -> None:
    """One kind of difference."""
    print(f"{kind}: {len(changes)} differ" if changes else f"{kind}: the same")
    for change in changes[:limit]:
        print(f"  {change.name}: {change.left} -> {change.right} {change.note}".rstrip())
    if limit is not None and len(changes) > limit:
        print(f"  … and {len(changes) - limit} more (--all)")
