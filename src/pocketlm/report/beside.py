"""One scored model beside a paper's published table: the numbers, and everything that keeps them from being equal.

Nothing is called comparable that the paper does not state: an unstated metric, shot count or task version differs.
"""

from __future__ import annotations

from typing import Any

from pocketlm.config import Task
from pocketlm.report.inputs import Row
from pocketlm.report.tables import DASH, count, fixed, spread

HARNESS = "lm-eval"
Paper = dict[str, Any]


def task_differences(ours: Task, theirs: dict[str, Any], paper: Paper, items: int | None) -> list[str]:
    """What differs between our task and the paper's of the same name; empty if nothing is known to."""
    harness = paper["harness"]
    found = []
    if ours.metric != theirs["metric"]:
        found.append(f"metric {ours.metric}, theirs {theirs['metric']}")
    if ours.num_fewshot != theirs["shots"]:
        shots = "not stated" if theirs["shots"] is None else theirs["shots"]
        found.append(f"{ours.num_fewshot} shots, theirs {shots}")
    if (harness["name"], harness["task_versions"]) != (HARNESS, ours.version):
        found.append(
            f"{HARNESS} task version {ours.version}, theirs {harness['name']}, version {harness['task_versions']}"
        )
    if ours.limit is not None and harness["items"] == "all":
        found.append(f"{items or ours.limit} items, theirs all")
    return found


def own_scores(rows: list[Row], model: str, phase: str, scheme: str, tasks: dict[str, Task]) -> dict[str, Row]:
    """{task: row of its pinned metric} of one model, phase and scheme, from the tidy table."""
    wanted = (model, phase, scheme)
    return {
        row["task"]: row
        for row in rows
        if (row["model"], row["phase"], row["scheme"]) == wanted
        and row["task"] in tasks
        and row["metric"] == tasks[row["task"]].metric
    }


def grid(paper: Paper, model: str, size: float | None, scores: dict[str, Row]) -> list[list[str]]:
    """Head, our line, then the published models from the smallest to the largest; ``*`` marks the paper's own."""
    tasks = [name for name in paper["tasks"] if name in scores]
    places = {name: place for place, name in enumerate(paper["tasks"])}
    head = ["model", "parameters", *(paper["tasks"][name]["label"] for name in tasks)]
    ours = [spread(100 * float(scores[n]["value"]), 100 * float(scores[n]["stderr"] or 0)) for n in tasks]
    lines = [head, [model, count(size), *ours]]
    for row in sorted(paper["models"], key=lambda row: (row["params_m"], row["name"])):
        mark = "*" if row.get("own") else ""
        published = [fixed(row["scores"][places[name]]) for name in tasks]
        lines.append([row["name"] + mark, count(1e6 * row["params_m"]), *published])
    return lines


def reasons(paper: Paper, scores: dict[str, Row], tasks: dict[str, Task]) -> list[str]:
    """A line for each set of differences, with the tasks that have it."""
    groups: dict[str, list[str]] = {}
    for name in (name for name in paper["tasks"] if name in scores):
        items = int(float(scores[name]["n"])) if scores[name].get("n") else None
        differs = task_differences(tasks[name], paper["tasks"][name], paper, items)
        groups.setdefault("; ".join(differs), []).append(paper["tasks"][name]["label"])
    return [f"{', '.join(labels)}: {why or 'like for like'}" for why, labels in groups.items()]


def aligned(lines: list[list[str]]) -> str:
    """Columns padded, numbers to the right, a rule under the head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines]
    rows.insert(1, ["─" * width for width in widths])
    return "\n".join("  ".join(row).rstrip() for row in rows)


def text(paper: Paper, model: str, size: float | None, scores: dict[str, Row], tasks: dict[str, Task]) -> str:
    """The whole comparison with one paper; says so where no task is in common."""
    title = f"{paper['name']} (arXiv {paper['arxiv']}), {paper['source']}; trust: {paper['trust']}"
    missing = [task["label"] for name, task in paper["tasks"].items() if name not in scores]
    if len(missing) == len(paper["tasks"]):
        return f"{title}\nNo task in common; it has {', '.join(missing)}."
    differs = reasons(paper, scores, tasks)
    equal = all(line.endswith(": like for like") for line in differs)
    parts = [title, "", aligned(grid(paper, model, size, scores)), ""]
    parts.append("Like for like." if equal else "Not like for like. What differs:")
    parts += [] if equal else [f"- {line}" for line in differs]
    parts += [f"- not scored here: {', '.join(missing)}"] if missing else []
    parts.append(f"- training: theirs {paper['training']}" if paper["training"] else DASH)
    return "\n".join([*parts, f"Note: {' '.join(paper['note'].split())}"])
