"""Impossible combinations of parameters, refused before any job starts. Each message: file, key, remedy."""

from __future__ import annotations

import re

from pocketlm.allowed import problems
from pocketlm.checks import data, evaluation, models, search
from pocketlm.checks.checker import Checker
from pocketlm.config import Params


def entry_names(check: Checker) -> None:
    """Entries name files and DVC stages: letters, digits and underscores."""
    for group in (
        *("sources", "tokenizers", "corpora", "plans"),
        *("models", "devices", "profiles", "suites", "claims"),
    ):
        for name in getattr(check.params, group):
            if not re.fullmatch(r"\w+", name, re.ASCII):
                check.refuse(f"{group}.{name}", "a name has letters, digits and underscores only; rename it")
    if "calibration" in check.params.profiles:
        check.refuse("profiles.calibration", "this name belongs to the calibration of the device; rename it")


def numerics(check: Checker) -> None:
    """What torch cannot do together."""
    asked = check.params.numerics
    if asked.device == "cpu" and asked.world_size > 1 and asked.compile:
        check.refuse("numerics.compile", "is not supported with several CPU ranks; set it to false")


def check(params: Params, name: str = "params.yaml") -> None:
    """Raise ConfigError at the first value that cannot work."""
    checker = Checker(params, name)
    for key, problem in problems(params):
        checker.refuse(key, problem)
    for step in (
        *(entry_names, data.world, data.sources, data.tokenizers, data.corpora, data.suites),
        *(models.plans, models.models, search.search, search.devices),
        *(evaluation.deployments, evaluation.claims, numerics),
    ):
        step(checker)
