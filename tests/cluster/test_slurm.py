"""A real Slurm of this machine, started by tools/slurm.sh, runs the stub stages by the project's own profile."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub import ROOT, command, copy_project, environment

from pocketlm.artifacts import sha256

MISSING = [name for name in ("munged", "slurmctld", "slurmd", "sbatch", "sinfo") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.full,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: apt-get install -y slurm-wlm munge"),
]
PROFILE = ("--profile", "workflow/profiles/slurm")
WORLD, BASE = "results/data/world.manifest.json", "results/models/mobilellm/base.manifest.json"
NOT_COMPARED = {"logs", "benchmarks", "checkpoints"}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two nodes, both of them this machine."""
    env = {**os.environ, "SLURM_SANDBOX": str(tmp_path_factory.mktemp("slurm") / "sandbox")}
    script = str(ROOT / "tools" / "slurm.sh")
    started = subprocess.run([script, "start", "2"], env=env, capture_output=True, text=True)
    try:
        assert started.returncode == 0, started.stderr
        yield
    finally:
        subprocess.run([script, "stop"], env=env, check=True)


def new_project(folder: Path, *overrides: str, stubbed: bool = True) -> Path:
    """A copy with the tiny recipe, whose profile asks for the state of jobs every 2 s, not 20."""
    project = copy_project(folder, stubbed=stubbed)
    edit(project / "workflow/profiles/slurm/config.yaml", "before-status-checks: 20", "before-status-checks: 2")
    command(project, "pocketlm", "compose", "recipe=tiny", *overrides)
    return project


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def hashes(project: Path) -> dict[str, str]:
    """{path: sha256} of every artefact."""
    results = project / "results"
    theirs = {".snakemake_timestamp", ".gitignore"}  # Snakemake's, DVC's
    files = (path for path in results.rglob("*") if path.is_file() and path.name not in theirs)
    named = {path.relative_to(results): path for path in files}
    return {str(name): sha256(path) for name, path in named.items() if name.parts[0] not in NOT_COMPARED}


def slurm_logs(project: Path) -> dict[str, Path]:
    """{Slurm job id: its log}."""
    return {path.stem: path for path in (project / "results/logs/slurm").rglob("*.log")}


def ask(job: str, form: str) -> str:
    """What squeue still knows of a job."""
    done = subprocess.run(["squeue", "-h", "-t", "all", "-j", job, "-O", form], capture_output=True, text=True)
    return done.stdout.strip()


def test_same_bytes_as_a_local_run(slurm: None, tmp_path: Path) -> None:
    local, cluster = new_project(tmp_path / "local"), new_project(tmp_path / "cluster")
    command(local, "snakemake", "-j2")
    command(cluster, "snakemake", *PROFILE)
    made = hashes(local)
    assert len(made) > 80
    assert hashes(cluster) == made
    jobs = slurm_logs(cluster)
    assert len(jobs) == int(re.findall(r"total +(\d+)", command(local, "snakemake", "-n", "-F"))[0]) - 1  # not rule all
    assert {ask(job, "State") for job in jobs} == {"COMPLETED"}
    assert "Nothing to be done" in command(cluster, "snakemake", "-n")


def test_dvc_repro_goes_through_sbatch(slurm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = new_project(tmp_path / "project")
    command(project, "pocketlm", "dvc")
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "workflow/profiles/slurm")
    command(project, "dvc", "repro", "-q", "tokenizer-world")
    jobs = slurm_logs(project)
    assert sorted(path.parts[-3] for path in jobs.values()) == ["rule_download", "rule_tokenizer"]
    assert {ask(job, "State") for job in jobs} == {"COMPLETED"}
    assert (project / "results/tokenizers/world.manifest.json").is_file()
    assert "tokenizer-world" not in command(project, "dvc", "status", "tokenizer-world")


def test_profile_of_a_user_after_a_download_on_the_login_node(
    slurm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/cluster.md says it: a copy at home with the partition in it; what was fetched is not submitted."""
    project = new_project(tmp_path / "project")
    command(project, "pocketlm", "compose", "recipe=tiny", "--into", "runs/first")
    home = tmp_path / "config"
    shutil.copytree(project / "workflow/profiles/slurm", home / "snakemake/cluster")
    with (home / "snakemake/cluster/config.yaml").open("a") as profile:
        profile.write("default-resources:\n  slurm_partition: main\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    command(project, "snakemake", "--directory", "runs/first", "--until", "download", "import_model")
    run = project / "runs/first"
    assert (run / WORLD).is_file() and not slurm_logs(run)
    tokenizer = "results/tokenizers/world.manifest.json"
    command(project, "snakemake", "--directory", "runs/first", "--profile", "cluster", "--", tokenizer)
    ((job, path),) = slurm_logs(run).items()
    assert path.parts[-3] == "rule_tokenizer" and ask(job, "Partition") == "main"


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ("slurm_partition=nowhere", "invalid partition specified: nowhere"),
        ("slurm_account=nobody", "Invalid account or account/partition combination specified"),
    ],
)
def test_unknown_partition_or_account_ends_with_the_schedulers_words(
    slurm: None, tmp_path: Path, resource: str, words: str
) -> None:
    project = new_project(tmp_path / "project")
    out = command(project, "snakemake", *PROFILE, "--default-resources", resource, "--", WORLD, status=1)
    assert words in out


def test_an_account_that_exists_reaches_the_scheduler(slurm: None, tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    command(project, "snakemake", *PROFILE, "--default-resources", "slurm_account=pocketlm", "--", WORLD)
    ((job, _),) = slurm_logs(project).items()
    assert ask(job, "Account") == "pocketlm"


@pytest.mark.parametrize("end", ["CANCELLED", "TIMEOUT"])
def test_ended_job_is_named_and_retried_with_more(slurm: None, tmp_path: Path, end: str) -> None:
    """The first attempt sleeps until it is cancelled, or out of its one minute; the second has twice as much."""
    project = new_project(tmp_path / "project")
    edit(project / "workflow/profiles/slurm/config.yaml", "runtime: 240 * attempt", "runtime: 1 * attempt")
    waiting = "def run(args):\n    import time\n    if not Path('slept').exists():\n        Path('slept').touch()\n"
    edit(project / "src/pocketlm/stages/download.py", "def run(args):\n", waiting + "        time.sleep(600)\n")
    run = subprocess.Popen(
        ["snakemake", *PROFILE, "--", WORLD],
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not (project / "slept").exists():
        assert run.poll() is None, run.stdout.read() if run.stdout else ""
        time.sleep(0.5)
    (first,) = slurm_logs(project)
    if end == "CANCELLED":
        subprocess.run(["scancel", first], check=True)
    out = run.communicate(timeout=600)[0]
    assert run.returncode == 0, out
    assert re.search(rf"'{first}' failed, SLURM status is: '{end}'", out)
    (second,) = slurm_logs(project).keys() - {first}
    assert (ask(first, "TimeLimit"), ask(second, "TimeLimit")) == ("1:00", "2:00")
    assert (ask(first, "MinMemory"), ask(second, "MinMemory")) == ("4000M", "8000M")


SEVERAL = "  pretrain:\n    mpi: \"'srun'\"\n    nodes: 2\n    tasks: 2\n    cpus_per_task: 1\n"


@pytest.mark.parametrize("nodes", [1, 2])
def test_torchrun(slurm: None, tmp_path: Path, nodes: int) -> None:
    """Two ranks, on one node or on one each."""
    project = new_project(tmp_path / "project", "numerics.world_size=2")
    if nodes == 2:
        edit(project / "workflow/profiles/slurm/config.yaml", "  pretrain:\n", SEVERAL)
    rank = "def run(args):\n    import os\n    name = '-'.join(os.environ[k] for k in ('RANK', 'LOCAL_RANK'))\n"
    rank += "    Path(name + '.rank').write_text(os.environ['SLURMD_NODENAME'])\n"
    rank += "    if os.environ['RANK'] != '0':\n        return\n"
    edit(project / "src/pocketlm/stages/pretrain.py", "def run(args):\n", rank)
    command(project, "snakemake", *PROFILE, "--", BASE)
    found = {path.stem: path.read_text() for path in project.glob("*.rank")}
    assert found.keys() == ({"0-0", "1-1"} if nodes == 1 else {"0-0", "1-0"})
    assert len(set(found.values())) == nodes


def test_gpus_are_asked_for(slurm: None, tmp_path: Path) -> None:
    """Slurm's own record of the job: as many GPUs as ranks. The stub computes on none."""
    project = new_project(tmp_path / "project", "numerics.device=cuda", "numerics.world_size=2")
    (project / "src/pocketlm/stages/pretrain.py").write_text("raise SystemExit(3)\n")
    command(project, "snakemake", *PROFILE, "--retries", "0", "--", BASE, status=1)
    asked = {path.parts[-3]: ask(job, "tres-per-job:40") for job, path in slurm_logs(project).items()}
    assert "gpu:2" in asked["rule_pretrain"]
    assert "gpu" not in asked["rule_tokenize"]


def test_measurements_have_a_node_to_themselves(slurm: None, tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    command(project, "snakemake", *PROFILE, "--", "results/facts/local/calibration.json", WORLD)
    exclusive = {path.parts[-3]: ask(job, "OverSubscribe") for job, path in slurm_logs(project).items()}
    assert exclusive["rule_calibrate"] == "NO"
    assert exclusive["rule_download"] != "NO"


@pytest.mark.chain
def test_real_stages_give_the_same_bytes(slurm: None, tmp_path: Path) -> None:
    """The tiny recipe itself, searched with the same calibration; speeds, and the report of them, are measured anew."""
    local, fact = new_project(tmp_path / "local", stubbed=False), "results/facts/local/calibration.json"
    command(local, "snakemake")
    command(local, "pocketlm", "record")
    cluster = new_project(tmp_path / "cluster", stubbed=False)
    shutil.copy2(local / "dvc.lock", cluster / "dvc.lock")
    for project, way in ((local, "push"), (cluster, "pull")):
        command(project, "dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
        command(project, "pocketlm", "dvc")
        command(project, "dvc", way, "-q", fact)
    command(cluster, "pocketlm", "sync")
    command(cluster, "snakemake", *PROFILE)
    assert len(slurm_logs(cluster)) > 30 and "calibrate" not in str(list(slurm_logs(cluster).values()))
    made = [{name: value for name, value in hashes(p).items() if "report" not in name} for p in (local, cluster)]
    for measured in made:
        assert measured.pop("facts/local/models.json")
    assert made[0] == made[1]
