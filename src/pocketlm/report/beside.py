"""One scored model beside a paper's published table: the numbers, and everything that keeps them from being equal.

Nothing is called comparable that the paper does not state: an unstated metric, shot count or task version differs.
"""

from __future__ import annotations

from typing import Any

from pocketlm.config import Task
from pocketlm.report.inputs import Row
from pocketlm.report.tables import DASH, count, fixed, spread

HARNESS = "lm-eval"
OTHER_CALLS = "Our column is this run's own task and scorer; it is no like-for-like comparison."
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


def own_calls(rows: list[Row], model: str, scheme: str) -> list[str] | None:
    """Our model, tuned to call functions, and its exact calls; None where the run did not score them."""
    wanted = (model, "call", scheme, "exact_match")
    found = (row for row in rows if (row["model"], row["phase"], row["scheme"], row["metric"]) == wanted)
    return next(([f"{model} call {scheme}", percent(row)] for row in found), None)


def grid(paper: Paper, model: str, size: float | None, scores: dict[str, Row]) -> list[list[str]]:
    """Head, our line, then the published models from the smallest to the largest; ``*`` marks the paper's own."""
    tasks = [name for name in paper["tasks"] if name in scores]
    places = {name: place for place, name in enumerate(paper["tasks"])}
    head = ["model", "parameters", *(paper["tasks"][name]["label"] for name in tasks)]
    lines = [head, [model, count(size), *(percent(scores[name]) for name in tasks)]]
    for row in sorted(paper["models"], key=lambda row: (row["params_m"], row["name"])):
        published = [fixed(row["scores"][places[name]]) for name in tasks]
        lines.append([marked(row), count(1e6 * row["params_m"]), *published])
    return lines


def percent(row: Row) -> str:
    """A score of ours, in percent with its standard error."""
    return spread(100 * float(row["value"]), 100 * float(row["stderr"] or 0))


def marked(row: dict[str, Any]) -> str:
    """The name of a published row; ``*`` marks the paper's own."""
    return row["name"] + ("*" if row.get("own") else "")


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


def cells(table: Paper) -> list[list[str]]:
    """The cells of a further table (``calls``, one of ``tables``), each column with the decimals it is published in."""
    columns = list(zip(*(row["cells"] for row in table["rows"]), strict=True))
    digits = [max(len(str(value).partition(".")[2]) for value in column) for column in columns]  # of None: 0
    return [list(map(fixed, row["cells"], digits)) for row in table["rows"]]


def further(table: Paper, ours: list[str] | None = None) -> str:
    """A further table under its label, source and trust; ``ours``: our model and its value, in a column of its own."""
    head = ["", *table["columns"]]
    lines = [[marked(row), *texts] for row, texts in zip(table["rows"], cells(table), strict=True)]
    if ours:
        lines = [[ours[0], *[DASH] * len(table["columns"]), ours[1]], *([*line, DASH] for line in lines)]
        head.append("exact")
    shots = "not stated" if table.get("shots") is None else table["shots"]
    about = [f"Metric: {table['metric']}."] if "metric" in table else []
    about += [f"Shots: {shots}."] if "shots" in table else []
    about += [f"Note: {' '.join(table['note'].split())}"] if "note" in table else []
    about += [OTHER_CALLS] if ours else []
    title = f"{table['label']}; {table['source']}; trust: {table['trust']}"
    return "\n".join([title, "", aligned([head, *lines]), *([" ".join(about)] if about else [])])


def also(paper: Paper, calls: list[str] | None) -> str:
    """A paper's further tables, its function calls first, beside ours (``own_calls``); nothing where it has none."""
    found = [further(paper["calls"], calls)] if "calls" in paper else []
    found += [further(table) for table in paper.get("tables", [])]
    return "".join(f"\n\n{part}" for part in ["Also published", *found]) if found else ""
