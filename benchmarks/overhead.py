"""What the two engines cost beside the work: a no-op ``snakemake``, ``dvc status``, ``pocketlm sync``, a large DAG.

    python benchmarks/overhead.py [--repeats 5]     the demo's DAG with stub stages, in a temporary folder
    python benchmarks/overhead.py --run FOLDER      a finished run: its last log and results/benchmarks/*.tsv

Measure on a quiet machine: the figures are wall times of whole commands, start of Python included. Prints the table of
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import platform
import re
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "workflow")]

from stub import command, copy_project  # noqa: E402

JOBS_EACH = 5  # of a named model: base, instruct, call, quantize, score


@dataclass(frozen=True)
class Figure:
    """Seconds that a command took, and the bound that it shall keep."""

    what: str
    bound: float
    seconds: list[float]

    def row(self) -> str:
        """A line of the table."""
        median, spread = statistics.median(self.seconds), max(self.seconds) - min(self.seconds)
        held = "yes" if median <= self.bound else "no"
        return f"| {self.what} | {median:.2f} | {spread:.2f} | {self.bound:g} | {held} |"


def timed(what: str, bound: float, repeats: int, function: Callable[[], object]) -> Figure:
    """Time a function."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    print(f"{what}: {statistics.median(seconds):.2f} s (wanted: at most {bound:g})", flush=True)
    return Figure(what, bound, seconds)


def demo(folder: Path, repeats: int) -> list[Figure]:
    """The finished demo, in which nothing is to be done."""
    command(folder, "pocketlm", "compose", "recipe=demo")
    command(folder, "pocketlm", "run")

    def noop() -> None:
        assert "Nothing to be done" in command(folder, "snakemake")

    def status() -> None:
        assert "up to date" in command(folder, "dvc", "status")

    def sync() -> None:
        assert "to be made" not in command(folder, "pocketlm", "sync")

    return [
        timed("`snakemake`, nothing to be done", 3, repeats, noop),
        timed("`dvc status`", 3, repeats, status),
        timed("`pocketlm sync`", 4, repeats, sync),
    ]


def many(folder: Path, jobs: int) -> int:
    """Write a params.yaml of about so many jobs: copies of one named model; returns their number."""
    import yaml

    path = folder / "params.yaml"
    command(folder, "pocketlm", "compose", "recipe=tiny")
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    model = data["models"]["mobilellm"]
    extra = [f"m{number}" for number in range(jobs // JOBS_EACH)]
    data["models"] |= dict.fromkeys(extra, model)
    for name in extra:
        deployment = {"model": name, "phase": "call", "scheme": "int4", "runtime": "torch"}
        data["deployments"][f"{name}-call-int4"] = deployment

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    path.write_text(yaml.dump(data, Dumper=Plain, sort_keys=False), encoding="utf-8")
    return len(extra)


def large(folder: Path, jobs: int, repeats: int) -> Figure:
    """A dry run of thousands of jobs."""
    many(folder, jobs)

    def dry() -> None:
        out = command(folder, "snakemake", "-n", "--quiet", "rules")
        total = next(int(line.split()[1]) for line in out.splitlines() if line.startswith("total"))
        assert total >= jobs, out

    return timed(f"`snakemake -n`, {jobs:,} jobs", 15, repeats, dry)


def machine() -> str:
    """Kind of processor and number of its cores, without a name of the machine."""
    import os

    from pocketlm.profiling.device import cpu_model

    return f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}"


def table(figures: list[Figure], arguments: list[str], repeats: int) -> str:
    """The markdown table, and what it was measured by."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("snakemake", "dvc"))
    return "\n".join(
        [
            f"Command: `{shlex.join(['python', 'benchmarks/overhead.py', *arguments])}`. Machine: {machine()}. "
            f"Python {platform.python_version()}, {versions}. Median and spread (largest less smallest) of {repeats}.",
            "",
            "| command | median s | spread s | wanted, at most | held |",
            "|---|---|---|---|---|",
            *(figure.row() for figure in figures),
        ]
    )


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds in which at least one of some spans (start, end) was open."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def last_log(folder: Path) -> tuple[float, float]:
    """(start, wall seconds) of the folder's last whole run of Snakemake, by its log."""
    import datetime

    for path in sorted((folder / ".snakemake/log").glob("*.snakemake.log"), reverse=True):
        found = re.search(r"Elapsed time: (\d+):(\d+):([\d.]+)", path.read_text(encoding="utf-8"))
        if found:
            start = datetime.datetime.strptime(path.name.removesuffix(".snakemake.log"), "%Y-%m-%dT%H%M%S.%f")
            return start.timestamp(), int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
    raise SystemExit(f"{folder}/.snakemake/log: no log of a finished run; start one: snakemake --directory {folder}")


def share(folder: Path) -> str:
    """How much of a finished run was no stage's own time.

    With several jobs at a time the sum of the stages exceeds the wall, so the seconds are counted in which none was at
    work. A stage ends when Snakemake writes its benchmark file, whose first value is how long it took.
    """
    begun, wall = last_log(folder)
    spans = []
    for path in sorted((folder / "results/benchmarks").glob("*.tsv")):
        seconds, end = float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0]), path.stat().st_mtime
        if begun <= end <= begun + wall + 1:
            spans.append((end - seconds, end))
    own, together = covered(spans), sum(end - start for start, end in spans)
    return (
        f"{len(spans)} stages, together {together:.1f} s; wall {wall:.1f} s, in {own:.1f} s of them at least one stage "
        f"was at work; the engine's share is {wall - own:.1f} s = {(wall - own) / wall:.1%} (wanted: at most 5%)"
    )


def main() -> None:
    """Measure, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--repeats", type=int, default=5, help="of each command (default: 5)")
    parser.add_argument("--jobs", type=int, default=5000, help="of the large DAG (default: 5000)")
    parser.add_argument("--run", type=Path, help="a finished run folder, instead")
    args = parser.parse_args()
    if args.run:
        print(share(args.run))
        return
    with tempfile.TemporaryDirectory(prefix="pocketlm-overhead-") as base:
        figures = demo(copy_project(Path(base) / "demo", stubbed=True), args.repeats)
        figures.append(large(copy_project(Path(base) / "large", stubbed=True), args.jobs, args.repeats))
    print("\n" + table(figures, sys.argv[1:], args.repeats))


if __name__ == "__main__":
    main()
