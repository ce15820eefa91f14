"""Stage ``report``: write the HTML page, the tidy table and the summary of a run. The page names absent files."""

from __future__ import annotations

import argparse
import sys

from pocketlm import artifacts, config

OPTIONS = {
    "scores": "results/scores/SUITE/M.json",
    "samples": "results/scores/SUITE/M.samples.jsonl, for differences paired by item",
    "metrics": "results/models/M/PHASE.metrics.json",
    "curves": "results/models/M/PHASE.curve.csv",
    "logs": "results/logs/STAGE-M.log of trainings that failed: how one diverged is shown",
    "facts": "results/facts/DEVICE/*.json",
    "front": "results/search/front.json",
    "predictor": "results/search/predictor.json",
    "sizes": "results/deploy/M.sizes.json",
    "contamination": "results/tokens/C.contamination.json",
    "data-manifests": "results/data/S.manifest.json",
    "manifests": "manifests of the other folder artefacts, for their hashes",
    "papers": "published tables (default: those of conf/papers that report.papers names)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm report``."""
    parser.add_argument("--params", default="params.yaml", help="configuration of the run")
    for name, text in OPTIONS.items():
        parser.add_argument(f"--{name}", nargs="*", default=[], metavar="FILE", help=text)
    parser.add_argument("--out", required=True, help="the page, results/report/index.html")
    parser.add_argument("--table", required=True, help="the tidy table, results/report/table.csv")
    parser.add_argument("--metrics-out", required=True, help="the summary for dvc metrics, results/report/metrics.json")


def run(args: argparse.Namespace) -> None:
    """Write page, table and summary."""
    from pocketlm.report import inputs, page, table, views

    params = config.load(args.params)
    papers = page.load_papers(args.papers or [str(page.PAPERS / f"{name}.yaml") for name in params.report.papers])
    paths = {name: getattr(args, name.replace("-", "_")) for name in OPTIONS}
    found = inputs.read_all(paths | {"sources": paths["data-manifests"]})
    view = views.build(params, found)
    artifacts.write_text(args.out, page.render(view, papers))
    table.write(args.table, table.tidy(view))
    artifacts.write_json(args.metrics_out, table.summary(view))
    for piece in found.missing:
        print(f"report: missing: {piece.what}: {piece.why}", file=sys.stderr)
    print(f"report: {len(found.scores)} scores of {len(view.models)} models -> {args.out}", file=sys.stderr)
