"""A copy of the project whose stages are stubs without torch: the same DAG, in seconds.

A stub writes, for every output that its command line names, a digest of its entry and of its inputs' bytes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = (
    "Snakefile",
    "workflow",
    "src",
    "conf",
    "profiles",
    "requirements.txt",
    ".dvcignore",
    ".gitignore",
    ".dvc/config",
)
STUB = '''"""Stub of a stage."""
from pathlib import Path

from pocketlm.artifacts import canonical, digest, sha256, write_manifest, write_text

OUTPUTS = {outputs!r}
INPUTS = {inputs!r}


def add_arguments(parser):
    for name in ["entry", "suite", "rung", "slot", "shard", *INPUTS, *OUTPUTS]:
        parser.add_argument("--" + name.replace("_", "-"), nargs="*", default=[])


def run(args):
    parts = [name for name in INPUTS for name in getattr(args, name)]
    text = digest([args.entry, args.suite, args.rung, args.slot, args.shard, *map(sha256, parts)])
    for name in OUTPUTS:
        for path in getattr(args, name):
            if path.endswith(".curve.csv"):
                write_text(path, f"step,loss,lr,grad_norm\\n1,{{int(text[:6], 16)}},0.1,1.0\\n")
            elif path.endswith(".csv"):
                write_text(path, f"task,value\\nworld,{{int(text[:6], 16)}}\\n")
            elif Path(path).suffix in (".json", ".jsonl", ".html", ".md", ".svg"):
                write_text(path, canonical({{"value": text}}))
            else:
                write_text(Path(path) / "data.bin", text)
    for folder, manifest in zip(args.out, getattr(args, "manifest", [])):
        write_manifest(folder, manifest)
'''
TRAINING = (["arch", "init", "tokens", "tokenizer"], ["out", "manifest", "metrics", "curve"])
STAGES = {
    "download": ([], ["out", "manifest"]),
    "tokenizer": (["data", "base"], ["out", "manifest"]),
    "tokenize": (["data", "tokenizer"], ["out", "manifest", "contamination"]),
    "tokenize_shard": (["data", "tokenizer"], ["out", "manifest"]),
    "tokenize_join": (["shards", "tokenizer"], ["out", "manifest", "contamination"]),
    "calibrate": ([], ["out"]),
    "propose": (["calibration"], ["predictor", "out"]),
    "trial": (["candidates", "tokens"], ["out"]),
    "promote": (["trials"], ["out"]),
    "random": (["candidates", "tokens"], ["out"]),
    "select": (["proposal", "predictor", "rungs", "trials", "random"], ["out", "arch"]),
    "profile": (["arch"], ["out"]),
    "inherit": (["arch", "source", "tokens", "tokenizer"], ["out", "manifest", "account"]),
    "pretrain": TRAINING,
    "pretrain_inherited": TRAINING,
    "instruct": TRAINING,
    "call": TRAINING,
    "import_model": ([], ["out", "manifest"]),
    "quantize": (["models", "tokens"], ["out", "manifest", "sizes"]),
    "score": (["models", "deploy", "data"], ["out", "samples"]),
    "claim": (["metrics", "scores", "facts"], ["out"]),
    "claims": (["claims"], ["table", "figure"]),
    "report": (
        ["scores", "samples", "metrics", "curves", "logs", "facts", "front", "predictor", "sizes", "contamination"]
        + ["data_manifests", "manifests", "papers"],
        ["out", "table", "metrics_out"],
    ),
}


def environment(folder: Path) -> dict[str, str]:
    """Variables with which the copy's own sources run, whatever environment pytest was started in."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}


def command(folder: Path, *arguments: str, status: int = 0) -> str:
    """Run a command of the environment in a folder of the copy; returns stdout and stderr."""
    root = next(parent for parent in (folder, *folder.parents) if (parent / "Snakefile").is_file())
    done = subprocess.run(
        arguments, cwd=folder, env=environment(root), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert (done.returncode == 0) == (status == 0), f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}"
    return done.stdout


def copy_project(folder: Path, stubbed: bool) -> Path:
    """A git repository with the project's files (stages replaced by stubs where asked) and no results."""
    folder.mkdir(parents=True)
    for name in KEPT:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, target)
    if stubbed:
        for stage, (inputs, outputs) in STAGES.items():
            (folder / f"src/pocketlm/stages/{stage}.py").write_text(STUB.format(inputs=inputs, outputs=outputs))
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def clone_of(project: Path, folder: Path) -> Path:
    """A second copy as git would make it: committed files, no artefacts, no cache."""
    left = shutil.ignore_patterns(".snakemake", "cache", "tmp", "*.bin", "facts", "search", "scores", "deploy")
    shutil.copytree(project, folder, symlinks=True, ignore=left)
    return folder


@contextlib.contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    """The file with ``old`` replaced inside the block, and as it was after it."""
    before = path.read_text()
    assert old in before, f"{path}: {old!r} is not in it"
    path.write_text(before.replace(old, new))
    try:
        yield
    finally:
        path.write_text(before)


STALE = """
import json
from pathlib import Path
from pocketlm.engines.dag import open_dag
from pocketlm.engines.store import changed
with open_dag(Path(".")) as dag:
    jobs = dag.jobs
stale = changed(Path(".")) - {"code"}  # changed by any edit of sources, until sync or record
for job in jobs:  # in topological order: downstream of a stale job is stale
    if any(set(job.inputs) & set(other.outputs) for other in jobs if other.name in stale):
        stale.add(job.name)
print("STALE", json.dumps([sorted(job.name for job in jobs if job.needed), sorted(stale)]))
"""


def stale(folder: Path) -> tuple[list[str], list[str]]:
    """(jobs that Snakemake would run, stages that DVC would) in a run folder of a copy."""
    import json

    found = json.loads(command(folder, sys.executable, "-c", STALE).rpartition("STALE ")[2])
    return found[0], found[1]
