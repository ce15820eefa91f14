"""GPUs of this machine: counted without torch, and no job shares one with another. Names are enough: no GPU needed."""

import subprocess
import sys
from pathlib import Path

import pytest
from stub import command, copy_project, environment

from pocketlm.cli import STAGES
from pocketlm.compose import compose
from pocketlm.engines import gpus
from pocketlm.engines.dag import open_dag

ROOT = Path(__file__).resolve().parents[2]
HOLD = "import os, sys; from pocketlm.engines.gpus import lease; lease(int(sys.argv[1])); "
HOLD += "print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); os.execv('/bin/cat', ['cat'])"


def test_what_cuda_would_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert gpus.visible(tmp_path) == ["0", "1"]
    for given, found in (
        ("2,5", ["2", "5"]),
        ("", []),
        ("1,-1,2", ["1"]),
        ("GPU-8932, GPU-41", ["GPU-8932", "GPU-41"]),
    ):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert gpus.visible(tmp_path) == found


def holder(count: int) -> subprocess.Popen[str]:
    """A process that takes a lease and becomes ``cat``."""
    words = [sys.executable, "-c", HOLD, str(count)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(ROOT))


def test_each_job_has_gpus_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also after a kill, and a job of two GPUs takes none while there is only one."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    one, two = holder(1), holder(1)
    assert one.stdout and two.stdout
    assert {one.stdout.readline().strip(), two.stdout.readline().strip()} == {"4", "7"}
    pair = holder(2)
    assert pair.stdout and pair.stdin
    one.kill()
    with pytest.raises(subprocess.TimeoutExpired):
        pair.wait(2)
    two.kill()
    assert pair.stdout.readline().strip() == "4,7"
    pair.communicate("")
    more = holder(3)  # as many as there are; the training says what is missing
    assert more.stdout and more.stdout.readline().strip() == "4,7"
    more.communicate("")
    for process in (one, two):
        process.communicate()


def test_stages_are_those_that_ask_for_a_gpu(tmp_path: Path) -> None:
    found = set()
    for recipe in ("tiny", "pangu_pi_pro_mini"):
        folder = tmp_path / recipe
        folder.mkdir()
        (folder / "params.yaml").write_text(compose(recipe, ["numerics.device=cuda", "numerics.precision=bf16"])[0])
        with open_dag(folder) as dag:
            found |= {job.rule for job in dag.jobs if dag.raw[job.name].resources.get("gpu")}
    assert {rule.replace("_", "-") for rule in found} == gpus.STAGES
    assert gpus.STAGES.issubset(STAGES)


def test_snakemake_starts_as_many_jobs_as_there_are_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four trials on eight cores and two GPUs: never three at once, and never two on one GPU."""
    project = copy_project(tmp_path / "project", stubbed=True)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    command(project, "pocketlm", "compose", "recipe=tiny", "numerics.device=cuda", "numerics.precision=bf16")
    stub = project / "src/pocketlm/stages/trial.py"
    noted = "def run(args):\n    import os, time\n    began = time.time()\n    time.sleep(1)\n"
    noted += "    name = os.environ['CUDA_VISIBLE_DEVICES']\n"
    noted += "    Path(f'{args.slot[0]}.trial').write_text(f'{name} {began} {time.time()}')\n"
    stub.write_text(stub.read_text().replace("def run(args):\n", noted))
    wanted = [f"results/search/trials/r0-s{slot}.json" for slot in range(4)]
    command(project, "snakemake", "--cores", "8", "--", *wanted)
    times = [path.read_text().split() for path in project.glob("*.trial")]
    spans = [(name, float(began), float(ended)) for name, began, ended in times]
    assert len(spans) == 4 and {name for name, _, _ in spans} == {"4", "7"}
    for name, began, ended in spans:
        beside = [other for other in spans if other[1] < ended and other[2] > began]
        assert len(beside) <= 2 and [other[0] for other in beside].count(name) == 1
