"""Pre-training of one model (all rounds)."""

from __future__ import annotations

import argparse

from pocketlm.stages import _training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm pretrain``."""
    _training.add_arguments(parser, None)


def run(args: argparse.Namespace) -> None:
    """Write the ``base`` phase of a model."""
    _training.run(args, "pretrain", "base")
