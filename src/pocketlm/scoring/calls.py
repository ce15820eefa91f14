"""Function calls compared by structure, never as text: ``set_alarm(hour=7, label="gym")``, one call a line.

Function names, arguments and order count; an extra call costs; numbers compare as numbers. Pure Python.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Call:
    """One call; ``name`` is None where the text of a line is not a call."""

    name: str | None
    arguments: dict[str, Any] = field(default_factory=dict)


def parse(text: str) -> list[Call]:
    """The calls of a generated answer, one for each line that is not empty."""
    return [_parse_line(line.strip()) for line in text.splitlines() if line.strip()]


def _parse_line(line: str) -> Call:
    try:
        node = ast.parse(line, mode="eval").body
        if not isinstance(node, ast.Call):
            return Call(None)
        arguments = {str(i): ast.literal_eval(value) for i, value in enumerate(node.args)}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in arguments:
                return Call(None)
            arguments[keyword.arg] = ast.literal_eval(keyword.value)
        return Call(ast.unparse(node.func), arguments)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return Call(None)


def same(left: Any, right: Any) -> bool:
    """Equal values: 7 and 7.0 are, True and 1 are not; strings by their words."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(left, str) and isinstance(right, str):
        return left.split() == right.split()
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(left == right)


def compare(predicted: list[Call], wanted: list[Call]) -> dict[str, float]:
    """{exact_match, name_accuracy, argument_f1}, each in [0, 1].

    Calls are compared at the same place. ``name_accuracy``: right names / the longer list; ``argument_f1``: over all
    arguments of the answer, where one is right if place, function, key and value are (1 if neither side has any).
    """
    pairs = list(zip(predicted, wanted, strict=False))
    names = sum(p.name is not None and p.name == w.name for p, w in pairs)
    longest = max(len(predicted), len(wanted))
    exact = len(predicted) == len(wanted) and all(p.name == w.name and same(p.arguments, w.arguments) for p, w in pairs)
    right = sum(
        key in p.arguments and same(p.arguments[key], value)
        for p, w in pairs
        if p.name == w.name
        for key, value in w.arguments.items()
    )
    total = sum(len(call.arguments) for call in predicted) + sum(len(call.arguments) for call in wanted)
    return {
        "exact_match": float(exact),
        "name_accuracy": names / longest if longest else 1.0,
        "argument_f1": 2 * right / total if total else float(names == longest),
    }


def score(text: str, calls: list[dict[str, Any]]) -> dict[str, float]:
    """``compare`` of a generated answer with gold calls ``[{"name", "arguments"}]``."""
    return compare(parse(text), [Call(call["name"], dict(call["arguments"])) for call in calls])
