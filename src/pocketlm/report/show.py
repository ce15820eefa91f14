"""The results table of a run in the terminal: a model, phase and scheme a line, its scores beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pocketlm.report.inputs import Row
from pocketlm.report.tables import DASH, fixed
from pocketlm.report.views import PHASES

Task = tuple[str, str]  # suite, task
PERCENT = ("acc", "acc_norm", "exact_match", "name_accuracy", "argument_f1", "em", "f1")
LAST = {"training": 1, "size": 2, "profile": 3}  # after the scores


def shown_metric(rows: Sequence[Row], wanted: str | None, pinned: Mapping[Task, str]) -> dict[Task, str]:
    """{(suite, task): metric}: the wanted one where the task has it, else the pinned one, else a usual one."""
    found: dict[Task, list[str]] = {}
    for row in rows:
        found.setdefault((row["suite"], row["task"]), []).append(row["metric"])
    usual = ["acc", "exact_match", "bits_per_byte", "file_bytes", "decode_tok_s"]
    orders = {key: [wanted, pinned.get(key), *usual, *sorted(metrics)] for key, metrics in found.items()}
    return {key: next(m for m in order if m in found[key]) for key, order in orders.items()}


def cell(row: Row | None) -> str:
    """A value with its standard error; shares in percent."""
    if row is None:
        return DASH
    value, stderr = float(row["value"]), float(row["stderr"] or 0)
    if row["metric"].split(" ")[0] in PERCENT:
        text = fixed(100 * value)
        return f"{text} ± {fixed(100 * stderr)}" if stderr else text
    if row["metric"] == "file_bytes":
        return f"{fixed(value / (1 << 20), 2)} MiB"
    return fixed(value, 0 if abs(value) >= 100 else 3)


def grid(rows: Sequence[Row], metric: str | None = None, pinned: Mapping[Task, str] | None = None) -> list[list[str]]:
    """The lines of the table; the first is the head. Speed has no phase and stands beside every phase."""
    metrics = shown_metric(rows, metric, pinned or {})
    shown = [row for row in rows if metrics[row["suite"], row["task"]] == row["metric"]]
    columns = sorted(
        dict.fromkeys((row["suite"], row["task"]) for row in shown), key=lambda column: LAST.get(column[0], 0)
    )
    cells = {(row["model"], row["phase"], row["scheme"], row["suite"], row["task"]): row for row in shown}
    models = list(dict.fromkeys(row["model"] for row in rows))
    keys = list(dict.fromkeys((row["model"], row["phase"], row["scheme"]) for row in shown if row["phase"]))
    keys.sort(key=lambda key: (models.index(key[0]), PHASES.index(key[1]) if key[1] in PHASES else 9))
    lines = [["model", "phase", "scheme", *(heading(*column, metrics[column]) for column in columns)]]
    for model, phase, scheme in keys:
        own = [
            cells.get((model, p, scheme, *column))
            for column in columns
            for p in [phase if column[0] != "profile" else ""]
        ]
        lines.append([model, phase, scheme, *map(cell, own)])
    return lines


def heading(suite: str, task: str, metric: str) -> str:
    """A short name of a column."""
    names = {"training": "bits/byte", "size": "size", "profile": f"decode tok/s ({task})"}
    return names.get(suite, task if metric in ("acc", "exact_match") else f"{task} {metric}")


def draw(lines: Sequence[Sequence[str]], width: int) -> str:
    """Plain text; where a line is wider than the terminal the columns go on in a second block."""
    sizes = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    blocks: list[list[int]] = [[]]
    for column in range(3, len(sizes)):
        used = sum(sizes[i] + 2 for i in [0, 1, 2, *blocks[-1]])
        if blocks[-1] and used + sizes[column] > width:
            blocks.append([])
        blocks[-1].append(column)
    return "\n\n".join(_block(lines, sizes, [0, 1, 2, *block]) for block in blocks)


def _block(lines: Sequence[Sequence[str]], sizes: Sequence[int], columns: Sequence[int]) -> str:
    out = []
    for number, line in enumerate(lines):
        cells = [line[i].ljust(sizes[i]) if i < 3 else line[i].rjust(sizes[i]) for i in columns]
        out.append("  ".join(cells).rstrip())
        if number == 0:
            out.append("  ".join("─" * sizes[i] for i in columns))
    return "\n".join(out)
