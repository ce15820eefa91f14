"""The DAG of every recipe: its jobs, their command lines, and dvc.yaml beside it."""

import argparse
import importlib
import os
import shlex
from collections import Counter
from pathlib import Path

import pytest

from pocketlm.artifacts import ArtifactError
from pocketlm.cli import STAGES
from pocketlm.compose import compose, recipes
from pocketlm.engines import generate
from pocketlm.engines.dag import open_dag

ROOT = Path(__file__).resolve().parents[2]
RUNS = [path.parent for path in [ROOT / "params.yaml", *sorted(ROOT.glob("runs/*/params.yaml"))]]


def run_folder(folder: Path, recipe: str) -> Path:
    (folder / "params.yaml").write_text(compose(recipe, [])[0])
    return folder


def parsed(command: str) -> argparse.Namespace:
    """The arguments of a job's shell command, read by the stage's own parser."""
    words = shlex.split(command.partition(" 2>&1 |")[0])
    if words[:3] == ["python", "-m", "pocketlm.engines.launch"]:  # several ranks: ... launch N STAGE
        words = words[3:]
    else:
        assert words[0] == "pocketlm"
    module = importlib.import_module(STAGES[words[1]].module)
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(words[2:])


@pytest.mark.parametrize("recipe", recipes())
def test_dry_run(recipe: str, tmp_path: Path) -> None:
    """Every job's command line is one that its stage understands, and names all of the job's outputs."""
    with open_dag(run_folder(tmp_path, recipe)) as dag:
        for raw, job in zip(dag.raw.values(), dag.jobs):
            assert job.needed
            given = {os.fspath(v) for value in vars(parsed(raw.shellcmd)).values() for v in as_list(value)}
            assert set(job.outputs) <= given, f"{job.name}: {set(job.outputs) - given}"
            if len(job.inputs) > 1:  # the first is the digest of its code
                assert given & set(job.inputs), f"{job.name} reads none of its inputs"


def test_shards_of_a_corpus(tmp_path: Path) -> None:
    """A job a shard and one that joins them, in both engines; nothing else changes, and without shards nothing."""
    (tmp_path / "params.yaml").write_text(compose("tiny", ["corpora.world_text.shards=3"])[0])
    with open_dag(tmp_path) as dag:
        jobs = {job.name: job for job in dag.jobs}
        commands = {name: parsed(raw.shellcmd) for name, raw in dag.raw.items()}
        document = generate.document(dag.jobs, "Snakefile")
    with open_dag(run_folder(tmp_path, "tiny")) as dag:
        plain = {job.name: job for job in dag.jobs}
    shards = [f"tokenize_shard-world_text-{number}" for number in range(3)]
    assert jobs.keys() - plain.keys() == {*shards, "tokenize_join-world_text"}
    assert plain.keys() - jobs.keys() == {"tokenize-world_text"}
    join = jobs["tokenize_join-world_text"]
    assert set(join.outputs) == set(plain["tokenize-world_text"].outputs)
    manifests = [f"results/tokens/world_text-{number}.manifest.json" for number in range(3)]
    assert [str(path) for path in commands[join.name].shards] == manifests and set(manifests) <= set(join.inputs)
    assert [commands[name].shard for name in shards] == [0, 1, 2]
    for name in shards:
        assert "corpora.world_text" in jobs[name].keys and set(jobs[name].outputs) <= {
            os.fspath(value) for one in vars(commands[name]).values() for value in as_list(one)
        }
        assert document["stages"][name]["outs"] == sorted(jobs[name].outputs)
    assert all(jobs[name] == plain[name] for name in jobs.keys() & plain.keys())


def as_list(value: object) -> list[str]:
    found = value if isinstance(value, list) else [value]
    return [item for item in found if isinstance(item, (str, Path))]  # type: ignore[misc]


def test_run_folder_of_another_checkout_is_refused(tmp_path: Path) -> None:
    """By an environment that two checkouts share: dvc.yaml would name the other one's files."""
    (tmp_path / "src/pocketlm").mkdir(parents=True)
    (tmp_path / "src/pocketlm/cli.py").touch()
    (tmp_path / "runs/x").mkdir(parents=True)
    run = run_folder(tmp_path / "runs/x", "tiny")
    with (
        pytest.raises(ArtifactError, match=rf"is a run folder of the checkout {tmp_path}, but .* that of {ROOT};"),
        open_dag(run),
    ):
        pass


def test_demo_has_at_most_45_jobs(tmp_path: Path) -> None:
    with open_dag(run_folder(tmp_path, "demo")) as dag:
        count = Counter(job.rule for job in dag.jobs)
    assert sum(count.values()) <= 45
    assert count["trial"] == 12
    assert count["pretrain"] == count["call"] == count["score"] == 4


@pytest.mark.parametrize("run", RUNS, ids=lambda path: path.name)
def test_committed_dvc_yaml_equals_the_dag(run: Path) -> None:
    with open_dag(run) as dag:
        jobs = dag.jobs
    assert generate.drift(run, jobs) == []


def test_parameters_of_a_job_are_its_own(tmp_path: Path) -> None:
    """A training depends on its own plan, not on another phase's; a score on its suite."""
    with open_dag(run_folder(tmp_path, "tiny")) as dag:
        keys = {job.name: set(job.keys) for job in dag.jobs}
    assert {"plans.pretrain", "models.a0.architecture", "models.a0.seed", "numerics"} <= keys["pretrain-a0"]
    assert not keys["pretrain-a0"] & {"plans.call", "models.a0.call", "models.a0", "plans"}
    assert "world" in keys["download-world"]
    assert "suites.world" in keys["score-world-a0"]


def test_lint_and_environment_file() -> None:
    """The Snakefile is clean by Snakemake's own linter; the conda environment has the pinned requirements."""
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pins = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    environment = (ROOT / "workflow/envs/pocketlm.yaml").read_text()
    assert all(f"      - {pin}\n" in environment for pin in pins), "write it again: python tools/conda_env.py"
