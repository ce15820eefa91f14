"""Calls are compared by structure; expected values are worked out by hand."""

import pytest

from pocketlm.scoring import calls

GOLD = [{"name": "set_alarm", "arguments": {"hour": 7, "minute": 30, "label": "gym"}}]
TWO = [{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": {"y": 2}}]


@pytest.mark.parametrize(
    ("text", "exact", "name", "f1"),
    [
        ('set_alarm(hour=7, minute=30, label="gym")', 1, 1, 1),
        ("set_alarm(label='gym', minute=30.0, hour=7)\n", 1, 1, 1),  # order of keywords, quotes and 30.0 do not matter
        ('set_alarm(hour=7, minute=31, label="gym")', 0, 1, 4 / 6),
        ('set_alarm(hour=7, label="gym")', 0, 1, 4 / 5),
        ('set_alarm(hour="7", minute=30, label="gym")', 0, 1, 4 / 6),  # a string is no number
        ('set_alarm(hour=7, minute=30, label="gym")\nstop()', 0, 0.5, 1),  # an extra call costs
        ('set_timer(hour=7, minute=30, label="gym")', 0, 0, 0),
        ("I will set it.", 0, 0, 0),
        ("", 0, 0, 0),
        ('set_alarm(hour=7, hour=7, minute=30, label="gym")', 0, 0, 0),
        ("set_alarm(hour=__import__('os'), minute=30)", 0, 0, 0),  # literals only: nothing is executed
    ],
)
def test_one_call(text, exact, name, f1):
    result = calls.score(text, GOLD)
    assert result == {"exact_match": exact, "name_accuracy": name, "argument_f1": pytest.approx(f1)}


@pytest.mark.parametrize(
    ("text", "exact", "name", "f1"),
    [
        ("a(x=1)\nb(y=2)", 1, 1, 1),
        ("b(y=2)\na(x=1)", 0, 0, 0),  # the order of calls counts
        ("a(x=1)", 0, 0.5, 2 / 3),
        ("a(x=True)\nb(y=2)", 0, 1, 2 / 4),  # True is not 1
    ],
)
def test_two_calls(text, exact, name, f1):
    result = calls.score(text, TWO)
    assert result == {"exact_match": exact, "name_accuracy": name, "argument_f1": pytest.approx(f1)}


def test_calls_without_arguments():
    gold = [{"name": "stop", "arguments": {}}]
    assert calls.score("stop()", gold) == {"exact_match": 1, "name_accuracy": 1, "argument_f1": 1}
    assert calls.score("go()", gold) == {"exact_match": 0, "name_accuracy": 0, "argument_f1": 0}


def test_nested_values():
    gold = [{"name": "f", "arguments": {"days": [1, 2], "where": {"room": "hall"}}}]
    assert calls.score("f(days=[1, 2.0], where={'room': 'hall'})", gold)["exact_match"] == 1
    assert calls.score("f(days=[2, 1], where={'room': 'hall'})", gold)["argument_f1"] == 0.5
