"""Texts that the data tests share."""

from __future__ import annotations

PEOPLE = ("Ada", "Ben", "Cleo", "Dan")
TEXTS = [
    f"{who} has {n} red apples and {m} green pears. {who} gave {n} apples to {whom} on day {m}, didn't she?"
    for who in PEOPLE
    for whom in PEOPLE
    for n in range(3, 40, 7)
    for m in range(2, 30, 9)
]
