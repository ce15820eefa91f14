"""Sections on scores: results, function calls, quantization, the comparison with the papers."""

from __future__ import annotations

from typing import Any

from pocketlm.report import beside
from pocketlm.report.inputs import Row
from pocketlm.report.tables import DASH, Cell, Table, count, fixed, mib, spread
from pocketlm.report.views import CALL_METRICS, Key, View, decode_speed, key_of, order, pinned_metric, sort_key
from pocketlm.scoring.paired import Difference, differences


def results_table(view: View, suite: str) -> Table | None:
    """Models x phases x schemes by the tasks of a suite: value, standard error, points above chance."""
    rows = [r for r in view.inputs.scores if r["suite"] == suite and r["metric"] == pinned_metric(view.params, r)]
    tasks = sorted({row["task"] for row in rows})
    if not tasks:
        return None
    cells = {(key_of(row), row["task"]): row for row in rows}
    heads = ["model", "phase", "scheme", "#above chance, mean"]
    table = Table(f"Suite {suite}", heads + [f"#{head(rows, task)}" for task in tasks])
    table.note = "Percent correct ± standard error; below it, points above chance. " + chances(rows, tasks)
    keys = sorted({key_of(row) for row in rows}, key=lambda key: sort_key(order(view.params), key))
    for key in keys:
        mean = view.quality.get(key)
        first = Cell(spread(mean.value, mean.stderr, plus=True) if mean else DASH, css="strong")
        own = [score_cell(cells.get((key, task))) for task in tasks]
        table.add(Cell(key[0], css=view.css(key[0]) + " model"), key[1], key[2], first, *own)
    return table


def head(rows: list[Row], task: str) -> str:
    """Task and metric."""
    return f"{task} ({next(row['metric'] for row in rows if row['task'] == task)})"


def chances(rows: list[Row], tasks: list[str]) -> str:
    """The chance level of each task and its number of items, in words."""
    first = {task: next(row for row in rows if row["task"] == task) for task in tasks}
    levels = [
        f"{task} {fixed(100 * row['chance'])}% of {row.get('n', '?')} items"
        for task, row in first.items()
        if row.get("chance") is not None
    ]
    return f"Chance: {', '.join(levels)}." if levels else ""


def score_cell(row: Row | None) -> Cell:
    """One score; bits per byte and the like as they are, shares as percent."""
    if row is None or row["value"] is None:
        return Cell(DASH)
    if row["value"] > 1 or row["metric"] in ("bits_per_byte", "word_perplexity"):
        return Cell(spread(row["value"], row.get("stderr"), 3))
    note = ""
    if row.get("chance") is not None:
        note = fixed(100 * (row["value"] - row["chance"]), plus=True)
    return Cell(spread(100 * row["value"], 100 * (row.get("stderr") or 0)), note)


def call_groups(view: View) -> list[str]:
    """Groups of items that are scored apart (``seen_phrasing``, ``unseen_phrasing``)."""
    metrics = {metric for rows in view.calls.values() for _, metric in rows}
    return sorted({metric.partition(" ")[2] for metric in metrics} - {""})


def call_table(view: View) -> Table | None:
    """Exact match, name accuracy and argument F1, whole and by group of phrasing."""
    if not view.calls:
        return None
    groups = ["", *call_groups(view)]
    names = {"exact_match": "exact", "name_accuracy": "name", "argument_f1": "argument F1"}
    heads = [f"#{names[m]}{', ' + g.replace('_', ' ') if g else ''}" for g in groups for m in CALL_METRICS]
    table = Table("Function calls on held-out requests, percent", ["model", "phase", "scheme", "#n", *heads])
    table.note = "Exact: every function, argument and the order right, nothing extra. Numbers compare as numbers."
    for key, rows in view.calls.items():
        by_metric = {metric: row for (_, metric), row in rows.items()}
        wanted = [f"{metric} {group}".strip() for group in groups for metric in CALL_METRICS]
        n = by_metric.get("exact_match", {}).get("n")
        first = Cell(key[0], css=view.css(key[0]) + " model")
        table.add(first, key[1], key[2], str(n or DASH), *(score_cell(by_metric.get(name)) for name in wanted))
    return table


def call_bars(view: View) -> list[Row]:
    """Exact calls of each tuned bf16 model by group, for the figure."""
    rows: list[Row] = []
    for (model, phase, scheme), found in view.calls.items():
        if (phase, scheme) != ("call", "bf16"):
            continue
        for (_, metric), row in sorted(found.items()):
            name, _, group = metric.partition(" ")
            if name == "exact_match" and (group or not call_groups(view)):
                rows.append({**row, "model": model, "label": group.replace("_", " ")})
    return rows


def paired_change(view: View, key: Key, kind: str) -> Difference | None:
    """Scheme minus bf16 of the same model and phase over the items that both have; ``kind``: choice, call or both."""
    left = items(view, (key[0], key[1], "bf16"), kind)
    found = differences(left, items(view, key, kind)) if left else []
    return next((d for d in found if d.task == "*"), None)


def items(view: View, key: Key, kind: str) -> list[Row]:
    """The samples of the pinned metric of multiple-choice tasks under one name, of exact calls, or of both."""
    if kind == "both":
        return [{**row, "metric": "both"} for one in ("choice", "call") for row in items(view, key, one)]
    rows = view.inputs.samples.get(key, [])
    if kind == "call":
        return [row for row in rows if row.get("metric", "exact_match") == "exact_match"]
    tasks = {task for _, task in view.tasks}
    rows = [row for row in rows if row["task"] in tasks]
    return [{**r, "metric": "pinned"} for r in rows if r.get("metric") in (None, pinned_metric(view.params, r))]


def quantization_table(view: View) -> Table | None:
    """Size and its parts, and the paired difference to bf16, of each deployment."""
    if not view.inputs.sizes:
        return None
    heads = ["model", "phase", "scheme", "#file MiB", "#linear", "#embedding", "#other", "#linear, bf16 = 1"]
    table = Table("Deployed files", [*heads, "#choice, points to bf16", "#calls, points to bf16", "#decode tok/s"])
    table.note = "Differences are paired by item (mean ± standard error; below, the number of items)."
    place = order(view.params)
    rows = {(m, s.get("phase", ""), s.get("scheme", n)): s for (m, n), s in view.inputs.sizes.items()}
    for key in sorted(rows, key=lambda key: sort_key(place, key)):
        sizes = rows[key]
        if "file_bytes" not in sizes:
            continue
        parts = [mib(sizes.get(f"{part}_bytes")) for part in ("linear", "embedding", "other")]
        whole = rows.get((key[0], key[1], "bf16"), {}).get("linear_bytes")
        ratio = fixed(sizes["linear_bytes"] / whole, 2) if whole and sizes.get("linear_bytes") else DASH
        changes = [change_cell(paired_change(view, key, kind)) for kind in ("choice", "call")]
        changes = [Cell(DASH), Cell(DASH)] if key[2] == "bf16" else changes
        first = Cell(key[0], css=view.css(key[0]) + " model")
        speed = fixed(decode_speed(view.fact(key[0], key[2])), 0)
        table.add(first, key[1], key[2], Cell(mib(sizes["file_bytes"]), css="strong"), *parts, ratio, *changes, speed)
    return table


def change_cell(change: Difference | None) -> Cell:
    """A paired difference in points."""
    if change is None:
        return Cell(DASH)
    return Cell(spread(100 * change.value, 100 * change.stderr, 2, plus=True), f"n = {change.n:,}")


def paper_tables(
    view: View, papers: list[dict[str, Any]]
) -> list[tuple[dict[str, Any], Table, list[str], Table | None]]:
    """(paper, its scores and ours, tasks in common, its function calls and ours)."""
    return [(paper, *paper_table(view, paper), paper_calls(view, paper)) for paper in papers]


def paper_table(view: View, paper: dict[str, Any]) -> tuple[Table, list[str]]:
    """Published scores, then every bf16 model of this run on the tasks that both have."""
    tasks = paper["tasks"]
    heads = ["model", "#parameters", "#average", *(f"#{task['label']}" for task in tasks.values())]
    table = Table(f"{paper['name']}: published results, percent", heads)
    for row in paper["models"]:
        scores = [fixed(score) for score in row["scores"]]
        first = Cell(row["name"], css="own" if row.get("own") else "")
        table.add(first, count(1e6 * row["params_m"]), fixed(row["average"], 2), *scores)
    ours = {(key_of(r), r["task"]): r for r in view.inputs.scores if r["metric"] == pinned_metric(view.params, r)}
    shared = sorted({task for _, task in ours} & set(tasks))
    for key in dict.fromkeys(key for key, task in ours if task in shared and key[2] == "bf16"):
        cells = [score_cell(ours.get((key, task))) for task in tasks]
        size = view.inputs.metrics.get((key[0], "base"), {}).get("params")
        table.add(own_cell(view, key), count(size), DASH, *cells)
    table.note = "★ models of this paper. " + (
        "Ours: percent ± standard error; below, points above chance." if shared else ""
    )
    return table, shared


def own_cell(view: View, key: Key) -> Cell:
    """The head of a row of ours among the published."""
    return Cell(f"{key[0]} {key[1]}", "this run", view.css(key[0]) + " model")


def paper_calls(view: View, paper: dict[str, Any]) -> Table | None:
    """Published function-call scores, and our exact calls, which are of other items unless the note says so."""
    calls = paper.get("calls")
    if not calls:
        return None
    table = Table(
        f"{paper['name']}: {calls['label']}, percent", ["model", *(f"#{c}" for c in calls["columns"]), "#exact"]
    )
    for row, cells in zip(calls["rows"], beside.cells(calls), strict=True):
        table.add(Cell(row["name"], css="own" if row.get("own") else ""), *cells, DASH)
    for key in view.calls:
        if key[1:] == ("call", "bf16"):
            table.add(own_cell(view, key), *[DASH] * len(calls["columns"]), score_cell(view.call_exact(key)))
    source = f"Source: {calls['source']} (trust: {calls['trust']})."
    table.note = f"{calls['note']} {source} {beside.OTHER_CALLS}"
    return table
