"""Instruction tuning: loss on the assistant tokens only."""

from __future__ import annotations

import argparse

from pocketlm.stages import _training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm instruct``."""
    _training.add_arguments(parser, "base")


def run(args: argparse.Namespace) -> None:
    """Write the ``instruct`` phase of a model."""
    _training.run(args, "instruct", "instruct")
