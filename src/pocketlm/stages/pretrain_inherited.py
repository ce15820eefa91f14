"""Pre-training of one model (all rounds) that starts from inherited weights."""

from __future__ import annotations

import argparse

from pocketlm.stages import _training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm pretrain-inherited``."""
    _training.add_arguments(parser, "inherited")


def run(args: argparse.Namespace) -> None:
    """Write the ``base`` phase of a model."""
    _training.run(args, "pretrain", "base")
