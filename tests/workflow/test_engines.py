"""Snakemake and DVC agree, on the stub stages: recorded, restored, and stale for the same reasons."""

import os
import re
import shutil
from pathlib import Path

import pytest
from stub import command, copy_project, edited, stale

pytestmark = [pytest.mark.xdist_group("engines"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose tiny recipe was run by Snakemake and recorded."""
    folder = copy_project(tmp_path_factory.mktemp("engines") / "project", stubbed=True)
    command(folder, "pocketlm", "compose", "recipe=tiny")
    command(folder, "snakemake", "-j2")
    out = command(folder, "pocketlm", "record")
    assert "recorded" in out and "stale" not in out
    return folder


def test_record_makes_both_clean(project: Path) -> None:
    assert "up to date" in command(project, "dvc", "status")
    assert "Nothing to be done" in command(project, "snakemake", "-n")
    assert "recorded 0 stages" in command(project, "pocketlm", "record")


def test_each_job_is_one_stage(project: Path) -> None:
    """Independent of our generator: DVC's own reading of dvc.yaml against the DAG."""
    code = """
from pathlib import Path
from dvc.repo import Repo
from pocketlm.engines.dag import open_dag
with open_dag(Path(".")) as dag:
    jobs = {job.name: job for job in dag.jobs}
with Repo() as repo:
    stages = {stage.name: stage for stage in repo.index.stages if stage.name != "code"}
assert stages.keys() == jobs.keys()
for name, stage in stages.items():
    plain = {dep.def_path for dep in stage.deps if type(dep).__name__ == "Dependency"}
    keys = {key for dep in stage.deps if type(dep).__name__ == "ParamsDependency" for key in dep.params}
    assert plain == set(jobs[name].inputs), name
    assert keys == set(jobs[name].keys), name
    assert {out.def_path for out in stage.outs} == set(jobs[name].outputs), name
print(len(stages), "equal")
"""
    assert "equal" in command(project, "python", "-c", code)


@pytest.mark.parametrize(
    "old, new, some, others",
    [
        ("  pretrain:\n    corpus: world_text", "  pretrain:\n    corpus: world_text ", ("report",), ("pretrain-a0",)),
        ("title: PocketLM tiny", "title: Another", ("report",), ("score-world-a0",)),
        ("group_size: 32", "group_size: 64", ("quantize-a0", "score-world-a0", "report"), ("call-a0",)),
        ("  stories: 600", "  stories: 601", ("download-world", "pretrain-a0", "report"), ("calibrate-local",)),
        ("    seed: 0\n", "    seed: 1\n", ("pretrain-a0", "report"), ("select", "tokenizer-world")),
        ("n_layers: [3,", "n_layers: [2,", ("propose", "select", "pretrain-a0"), ("pretrain-phonelm",)),
    ],
    ids=["spaces", "title", "group", "world", "seed", "list"],
)
def test_changed_parameter(project: Path, old: str, new: str, some: tuple[str, ...], others: tuple[str, ...]) -> None:
    """The same set is stale in both engines, and none after the change is taken back."""
    with edited(project / "params.yaml", old, new):
        snakemake, dvc = stale(project)
    assert snakemake == dvc
    assert set(some) <= set(snakemake)
    assert not set(others) & set(snakemake)
    assert stale(project) == ([], [])


@pytest.mark.parametrize(
    "old, new, names",
    [
        ('"""Stub of a stage."""', '"""A stub\'s docstring."""  # cosmetic', set()),
        ("text = digest([", "text = digest([1, ", {"call-a0", "call-phonelm", "quantize-a0", "report"}),
    ],
    ids=["docstring", "formula"],
)
def test_edited_source(project: Path, old: str, new: str, names: set[str]) -> None:
    """An edited formula makes exactly its stages stale, an edited docstring none."""
    with edited(project / "src/pocketlm/stages/call.py", old, new):
        snakemake, dvc = stale(project)
    assert snakemake == dvc
    assert names <= set(snakemake)
    assert "instruct-a0" not in snakemake
    assert stale(project) == ([], [])


@pytest.mark.full
def test_upgraded_library(project: Path, tmp_path: Path) -> None:
    """A new pin makes the stages that call the library stale, in both engines, and no others."""
    clone = tmp_path / "clone"
    shutil.copytree(project, clone, symlinks=True)
    stub = clone / "src/pocketlm/stages/call.py"
    stub.write_text(stub.read_text().replace("from pathlib", "import torch\nfrom pathlib"))
    command(clone, "pocketlm", "run", "-j2")
    with edited(clone / "requirements.txt", "torch==2.13.0", "torch==2.14.0"):
        snakemake, dvc = stale(clone)
    assert snakemake == dvc
    assert {name.partition("-")[0] for name in dvc} == {"call", "quantize", "score", "report"}
    with edited(clone / "requirements.txt", "lm-eval==", "lm-eval==9"):
        assert stale(clone) == ([], [])


@pytest.mark.parametrize(
    "name", ["models/a0/call/data.bin", pytest.param("scores/world/a0.json", marks=pytest.mark.full)]
)
def test_hand_edited_output(project: Path, name: str) -> None:
    """It is not recorded as what was made; after a sync both engines make it again, with what depends on it."""
    path = project / "results" / name
    before, times = path.read_bytes(), path.stat()
    path.write_bytes(b"other")
    out = command(project, "pocketlm", "record", status=1)
    assert f"results/{Path(name).parent if path.suffix == '.bin' else name}: changed since it was made" in out
    command(project, "pocketlm", "sync")
    snakemake, dvc = stale(project)
    assert snakemake == dvc
    assert {"score-world-a0", "report"} <= set(dvc) and ("call-a0" in dvc) == (path.suffix == ".bin")
    path.write_bytes(before)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    command(project, "pocketlm", "sync")
    assert stale(project) == ([], [])


def test_deleted_intermediate(project: Path) -> None:
    """Missing in the middle, though everything that came from it is there."""
    shutil.rmtree(project / "results/models/a0/instruct")
    snakemake, dvc = stale(project)
    assert snakemake == dvc
    assert {"instruct-a0", "call-a0", "report"} <= set(dvc) and "pretrain-a0" not in dvc
    command(project, "dvc", "checkout", "-q")
    command(project, "pocketlm", "sync")
    assert stale(project) == ([], [])


@pytest.mark.full
def test_entry_removed_and_added(project: Path, tmp_path: Path) -> None:
    """Without a model just what lists it is stale; with it again, just that and its own stages at most."""
    clone = tmp_path / "clone"
    shutil.copytree(project, clone, symlinks=True)
    command(clone, "pocketlm", "sync")
    alone = "search.anchors=[mobilellm]"  # an anchor is part of the search, and cannot go
    measured = "profile-local-models"
    command(clone, "pocketlm", "compose", "recipe=tiny", alone)
    command(clone, "pocketlm", "run", "-j2")
    fewer = (alone, "~models.phonelm", "profiles.models.models=[a0,a1,mobilellm]")
    command(clone, "pocketlm", "compose", "recipe=tiny", *fewer)
    command(clone, "pocketlm", "sync")
    snakemake, dvc = stale(clone)
    assert snakemake == dvc == [measured, "report"]
    assert command(clone, "pocketlm", "run", "-j2").strip().endswith("Snakemake and DVC have nothing to do")
    command(clone, "pocketlm", "compose", "recipe=tiny", alone)
    command(clone, "pocketlm", "sync")
    snakemake, dvc = stale(clone)
    assert snakemake == dvc
    assert {measured, "report"} <= set(dvc)
    assert all("phonelm" in name for name in set(dvc) - {measured, "report"})


def test_restored_clone_is_up_to_date(project: Path, tmp_path: Path) -> None:
    """Push, pull in a second clone, sync: both engines have nothing to do; then a change is seen."""
    store, clone = tmp_path / "store", tmp_path / "clone"
    command(project, "dvc", "remote", "add", "-f", "-d", "store", str(store))
    command(project, "dvc", "push", "-q", "--run-cache")
    shutil.copytree(
        project, clone, symlinks=True, ignore=shutil.ignore_patterns("results", ".snakemake", "cache", "tmp")
    )
    command(clone, "dvc", "pull", "-q", "--run-cache", "--allow-missing")
    for path in project.rglob("results/**/*"):  # what is in git comes with the clone
        target = clone / path.relative_to(project)
        if (
            path.is_file()
            and not target.exists()
            and path.name.endswith((".metrics.json", ".curve.csv", "metrics.json", "table.csv"))
        ):
            shutil.copy2(path, target)
    assert "synced" in command(clone, "pocketlm", "sync")
    assert stale(clone) == ([], [])
    path = clone / "params.yaml"
    path.write_text(path.read_text().replace("group_size: 32", "group_size: 64"))
    snakemake, dvc = stale(clone)
    assert snakemake == dvc and "quantize-a0" in snakemake and "call-a0" not in snakemake


def test_dvc_repro_runs_the_chain(project: Path, tmp_path: Path) -> None:
    """From nothing, in a run folder; both engines then agree that nothing is to be done, and the bytes are equal."""
    clone = tmp_path / "clone"
    shutil.copytree(
        project, clone, symlinks=True, ignore=shutil.ignore_patterns("results", ".snakemake", "cache", "tmp", "dvc.*")
    )
    run = clone / "runs" / "tiny"
    command(clone, "pocketlm", "compose", "recipe=tiny", "--into", "runs/tiny")
    command(clone, "pocketlm", "dvc", "runs/tiny")
    names = command(run, "dvc", "repro", "-q", "dvc.yaml:quantize-mobilellm", "dvc.yaml:code")
    assert "rror" not in names
    for path in ("results/models/mobilellm/call/data.bin", "results/deploy/mobilellm.manifest.json"):
        assert (run / path).read_bytes() == (project / path).read_bytes()
    command(run, "pocketlm", "sync")
    snakemake, dvc = stale(run)
    assert snakemake == dvc
    assert "quantize-mobilellm" not in snakemake


def test_reading_the_workflow_needs_no_torch(project: Path) -> None:
    """Every job on a cluster reads it again; whatever a stage imports is read from its source, not imported."""
    code = "import sys; from pathlib import Path; from pocketlm.engines.dag import open_dag\n"
    code += "with open_dag(Path('.')):\n    print('HEAVY', [m for m in ('torch', 'transformers') if m in sys.modules])"
    assert "HEAVY []" in command(project, "python", "-c", code)


@pytest.mark.full
def test_failed_repro_and_the_run_cache(project: Path, tmp_path: Path) -> None:
    """A failed stage's outputs are gone, and both engines say so, though ``dvc repro -q`` says little; what was made
    once is not made again when its lock is lost: it comes from DVC's run-cache."""
    clone = tmp_path / "clone"
    shutil.copytree(project, clone, symlinks=True)
    command(clone, "pocketlm", "sync")
    stage = clone / "src/pocketlm/stages/instruct.py"
    good = stage.read_text()
    stage.write_text(good.replace("def run(args):\n", "def run(args):\n    raise ValueError(1)\n"))
    command(clone, "dvc", "repro", "-q", "instruct-a0", status=1)
    assert not (clone / "results/models/a0/instruct").exists()
    assert "instruct-a0" in command(clone, "pocketlm", "sync")
    snakemake, dvc = stale(clone)
    assert snakemake == dvc and {"instruct-a0", "call-a0", "report"} <= set(dvc)
    stage.write_text(good)
    (clone / "dvc.lock").unlink()
    out = command(clone, "dvc", "repro", "call-a0")
    assert "Stage 'call-a0' is cached - skipping run" in out
    assert set(re.findall(r"Running stage '(.*?)'", out)) <= {"code"}


def test_one_failing_model_leaves_the_others_and_a_report(project: Path, tmp_path: Path) -> None:
    """The others go on; what there is is reported; nothing stale is recorded; a repair goes on from there."""
    clone = tmp_path / "clone"
    ignored = shutil.ignore_patterns("results", ".snakemake", "cache", "tmp", "dvc.lock")
    shutil.copytree(project, clone, symlinks=True, ignore=ignored)
    stage = clone / "src/pocketlm/stages/pretrain.py"
    good = stage.read_text()
    raising = 'def run(args):\n    if args.entry == ["phonelm"]:\n        raise ArtifactError("step 7, batch 7: NaN")\n'
    stage.write_text(
        good.replace("def run(args):\n", raising).replace("import canonical", "import ArtifactError, canonical")
    )
    out = command(clone, "snakemake", "-j2", status=1)
    assert "pocketlm pretrain phonelm: step 7, batch 7: NaN" in out
    assert "results/report/partial/index.html" in out
    assert (clone / "results/scores/world/mobilellm.json").is_file()
    assert not (clone / "results/report/index.html").exists()
    recorded = command(clone, "pocketlm", "record")
    assert "not recorded: pretrain-phonelm" in recorded and "not recorded: report" in recorded
    assert "score-world-mobilellm" not in recorded
