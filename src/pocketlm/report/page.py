"""The report page: sections are gathered here and rendered by ``templates/report.html``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError
from pocketlm.report import figures, headline, provenance, results, trials
from pocketlm.report.views import PHASES, View

PAPERS = Path(__file__).resolve().parents[3] / "conf" / "papers"
PAPER_KEYS = {"name", "arxiv", "source", "trust", "harness", "training", "note", "tasks", "models"}
TABLE_KEYS = {"label", "source", "trust", "columns", "rows"}  # of ``calls`` and of each of ``tables``
TRUST = ("code", "readme", "fig", "paper-2nd", "press", "unverified")


def load_papers(paths: list[str]) -> list[dict[str, Any]]:
    """Published tables (``conf/papers``). Raises ConfigError naming what is missing in one."""
    import yaml

    papers = []
    for path in paths:
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file; report.papers names tables of conf/papers") from None
        lacking = PAPER_KEYS - set(data)
        uneven = [m["name"] for m in data.get("models", []) if len(m["scores"]) != len(data.get("tasks", {}))]
        if lacking or uneven:
            keys, rows = ", ".join(sorted(lacking)), ", ".join(uneven)
            what = f"the keys {keys}" if lacking else f"a score for each task of {rows}"
            raise ConfigError(f"{path}: lacks {what}; see the other tables of conf/papers")
        for table in [*([data["calls"]] if "calls" in data else []), *data.get("tables", [])]:
            check_table(path, table)
        papers.append(data)
    return papers


def check_table(path: str, table: dict[str, Any]) -> None:
    """Raises ConfigError unless a further table has its keys, a known trust word and a cell for each column."""
    lacking = sorted(TABLE_KEYS - set(table))
    uneven = [row["name"] for row in table.get("rows", []) if len(row["cells"]) != len(table.get("columns", []))]
    where = f"{path}, {table.get('label', 'a table without label')}"
    if lacking or uneven:
        what = f"the keys {', '.join(lacking)}" if lacking else f"a cell for each column of {', '.join(uneven)}"
        raise ConfigError(f"{where}: lacks {what}")
    if table["trust"] not in TRUST:
        raise ConfigError(f"{where}: trust is {table['trust']!r}; known are {', '.join(TRUST)}")


def context(view: View, papers: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything that the template shows."""
    inputs, params = view.inputs, view.params
    pairs = trials.agreement(view)
    suites = list(params.suites) or sorted({row["suite"] for row in inputs.scores})
    return {
        "title": params.report.title,
        "recipe": params._recipe,
        "overrides": params._overrides,
        "tiles": headline.tiles(view),
        "conclusions": headline.conclusions(view),
        "missing": inputs.missing,
        "legend": [(model, view.css(model)) for model in view.models],
        "pareto": [figures.pareto_figure(view, axis) for axis in ("decode", "mib")],
        "results": [table for suite in suites if (table := results.results_table(view, suite))],
        "training": provenance.training_table(view),
        "curves": [(phase, svg) for phase in PHASES if (svg := figures.curve_figure(view, phase))],
        "trials": trials.trials_figure(view),
        "search_tables": [t for t in (trials.winners_table(view), trials.arms_table(view)) if t],
        "agreement": trials.agreement_text(pairs) + trials.rungs_text(inputs.front) if inputs.front else "",
        "search_line": trials.counts_line(inputs.front),
        "agreement_figure": trials.agreement_figure(view),
        "predictor": [svg for phase in ("prefill", "decode") if (svg := trials.predictor_figure(inputs, phase))],
        "predictor_table": trials.predictor_table(inputs),
        "profile": [svg for kind in ("prefill", "decode") if (svg := figures.profile_figure(view, kind))],
        "devices": devices(view),
        "size_figure": figures.size_figure(view),
        "quantization": results.quantization_table(view),
        "call_figure": figures.call_figure(view, results.call_bars(view)),
        "calls": results.call_table(view),
        "papers": results.paper_tables(view, papers),
        "contamination": provenance.contamination_table(inputs),
        "sources": provenance.sources_table(inputs, params),
        "hashes": provenance.hash_table(inputs),
        "parameters": provenance.parameters(params),
    }


def devices(view: View) -> list[str]:
    """One line for each device and runtime: what was measured on, and how."""
    lines = {}
    for fact in view.inputs.facts:
        versions = ", ".join(f"{k} {v}" for k, v in sorted((fact.get("versions") or {}).items()))
        energy = "" if fact.get("joules_per_token") else f"no energy: {fact.get('joules_why', 'not measured')}"
        cpu = str(fact.get("cpu") or "unknown CPU")
        parts = [cpu, f"{fact.get('threads')} threads", f"{fact.get('repeats')} repeats"]
        parts += [f"governor {fact.get('governor')}" if fact.get("governor") else "", versions, energy]
        lines[f"{fact['device']}, {fact['runtime']}"] = "; ".join(part for part in parts if part)
    return [f"{name}: {text}." for name, text in sorted(lines.items())]


def render(view: View, papers: list[dict[str, Any]]) -> str:
    """The whole page as one HTML text without any outside reference."""
    import jinja2
    from markupsafe import Markup

    loader = jinja2.PackageLoader("pocketlm.report", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["svg"] = Markup  # figures are made here and escape their own texts
    try:
        style = Markup((Path(__file__).parent / "templates" / "report.css").read_text(encoding="utf-8"))
        return environment.get_template("report.html").render(style=style, **context(view, papers)) + "\n"
    except jinja2.TemplateNotFound as error:
        raise ArtifactError(f"the report's template {error} is not installed; install pocketlm again") from None
