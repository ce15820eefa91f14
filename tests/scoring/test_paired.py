"""Paired differences against a hand-computed case."""

import math

import pytest

from pocketlm.scoring.paired import differences, select


def rows(task, values, **label):
    return [label | {"task": task, "metric": "acc", "item": f"i{i}", "value": v} for i, v in enumerate(values)]


def test_difference_and_error_by_item():
    [per_task, everything] = sorted(
        differences(rows("t", [1, 1, 0, 0]), rows("t", [1, 0, 0, 0])), key=lambda d: d.task, reverse=True
    )
    assert (per_task.task, everything.task) == ("t", "*")
    assert per_task.value == -0.25 and per_task.n == 4
    assert per_task.stderr == pytest.approx(math.sqrt(((0.75**2) + 3 * 0.25**2) / 3 / 4))
    assert per_task.as_row()["value"] == everything.value


def test_only_common_items_count():
    assert differences(rows("t", [1]), rows("u", [0])) == []
    [_, same] = differences(rows("t", [1, 0, 1]), rows("t", [1, 0]))
    assert (same.value, same.stderr, same.n) == (0.0, 0.0, 2)


def test_select():
    both = rows("t", [1], scheme="bf16") + rows("t", [0], scheme="int8")
    assert [r["value"] for r in select(both, scheme="int8")] == [0]
