"""Function-call tuning: the same loop on dialogues that end in calls."""

from __future__ import annotations

import argparse

from pocketlm.stages import _training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm call``."""
    _training.add_arguments(parser, "instruct")


def run(args: argparse.Namespace) -> None:
    """Write the ``call`` phase of a model."""
    _training.run(args, "call", "call")
