"""How long jobs take side by side, and the lines of ``pocketlm plan``."""

from __future__ import annotations

import shutil
from pathlib import Path

import llama_folder
import pytest
import yaml

from pocketlm import config, costs, other_jobs, plan
from pocketlm.artifacts import ArtifactError
from pocketlm.compose import compose
from pocketlm.makespan import Task, simulate

CHAIN = [Task("base", 100, needs=frozenset()), Task("instruct", 50, needs=frozenset({"base"}))]
CHAIN.append(Task("call", 25, needs=frozenset({"instruct"})))


def test_a_chain_gets_no_shorter_by_cores() -> None:
    assert simulate(CHAIN, 1, 0).seconds == simulate(CHAIN, 8, 0).seconds == 175


def test_independent_jobs_share_the_cores() -> None:
    jobs = [Task(f"trial {n}", 10, memory_gib=2) for n in range(5)]
    assert [simulate(jobs, cores, 0).seconds for cores in (1, 2, 5)] == [50, 30, 10]
    assert [simulate(jobs, cores, 0).memory_gib for cores in (1, 2, 5)] == [2, 4, 10]
    assert simulate(jobs, 2, 0).at_once == 2
    wide = [Task(f"training {n}", 10, cores=4) for n in range(3)]
    assert simulate(wide, 8, 0).seconds == 20


def test_a_job_of_all_cores_runs_alone() -> None:
    jobs = [Task("profile", 5, cores=64), Task("one", 10), Task("two", 10)]
    assert simulate(jobs, 2, 0).seconds == 15


def test_gpus_are_what_trainings_share() -> None:
    jobs = [Task(f"trial {n}", 10, gpus=1) for n in range(4)]
    assert [simulate(jobs, 16, gpus).seconds for gpus in (1, 2)] == [40, 20]
    assert simulate([*jobs, Task("ranks", 7, gpus=8)], 16, 1).seconds == 47


def test_the_more_urgent_job_starts_first() -> None:
    """As Snakemake's scheduler has it: here the long chain would else wait for the short jobs."""
    short = [Task(f"short {n}", 60) for n in range(2)]
    urgent = [Task(task.name, task.seconds, needs=task.needs, priority=1) for task in CHAIN]
    assert simulate([*short, *urgent], 2, 0).seconds == 175
    assert simulate([*short, *CHAIN], 2, 0).seconds == 235


def test_thousands_of_jobs() -> None:
    """A made-up run of many models, each a chain, on two cores: they are always at work."""
    jobs = [
        Task(f"{n}-{step}", 1.0, needs=frozenset({f"{n}-{step - 1}"} if step else ()))
        for n in range(500)
        for step in range(6)
    ]
    assert simulate(jobs, 2, 0).seconds == 1500


def run_folder(folder: Path, recipe: str, *overrides: str) -> Path:
    (folder / "params.yaml").write_text(compose(recipe, list(overrides))[0])
    return folder


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training takes 100 s and 2 GiB, and starts no process; other jobs take no time and no memory."""

    def costs_of(works: list[costs.Work], numerics: config.Numerics) -> list[costs.Cost]:
        return [costs.Cost(100.0 * one.jobs, 2.0, measured=numerics.device == "cpu") for one in works]

    monkeypatch.setattr(plan, "costs", costs_of)
    monkeypatch.setattr(plan, "SECONDS", {})
    monkeypatch.setattr(plan, "MEMORY", {})
    monkeypatch.setattr(plan, "scoring_flops", lambda *_: 0.0)


def said(folder: Path, cores: int) -> dict[str, str]:
    """{first word: the rest} of the plan's lines."""
    split = (line.split(maxsplit=1) for line in plan.lines(folder, cores) if not line.startswith(" "))
    return {words[0]: words[1] for words in split}


def test_two_models_of_two_phases_share_two_cores_and_no_more(known: None, tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "mobilellm_mini")
    one, two, eight = (said(folder, cores) for cores in (1, 2, 8))
    assert one["time"].startswith(f"about {plan.duration(400 / 3600)} on 1 core(s)")
    assert two["time"].startswith(f"about {plan.duration(200 / 3600)} on 2 core(s)")
    assert eight["time"].startswith(f"about {plan.duration(200 / 3600)} on 8 core(s)")
    assert one["memory"] == "about 2.0 GiB with 1 job(s) at once"
    assert two["memory"] == eight["memory"] == "about 4.0 GiB with 2 job(s) at once"
    assert "formula" not in one


def test_trials_wait_for_their_rung_and_models_for_the_search(known: None, tmp_path: Path) -> None:
    """The tiny recipe with any number of cores: two rungs (or the random arm), then base, instruct and call."""
    folder = run_folder(tmp_path, "tiny")
    search = config.load(folder / "params.yaml").search
    before = max(len(search.rungs), search.random)
    assert said(folder, 64)["time"].startswith(f"about {plan.duration(100 * (before + 3) / 3600)} on 64")


def test_scoring_counts_items_and_forms(tmp_path: Path) -> None:
    """By hand: two FLOPs a parameter and token, of the items that a limit leaves, in every form that is scored."""
    params = config.load(run_folder(tmp_path, "bookshelf") / "params.yaml")
    limited = [task.limit for task in params.suites["bookshelf"].tasks.values()]
    assert None not in limited and len(limited) == 9
    tokens = sum(limited) * other_jobs.TOKENS  # base, instruct, call, and call in int8, int4 and gguf_q8_0
    assert other_jobs.scoring_flops(params, "bookshelf", "mobilellm", 1000) == 2 * 1000 * tokens * 6
    world = config.load(run_folder(tmp_path, "demo") / "params.yaml")
    tokens = len(world.suites["world"].tasks) * world.world.items * other_jobs.TOKENS_OF_WORLD
    assert other_jobs.scoring_flops(world, "world", "phonelm", 1000) == 2 * 1000 * tokens * 5  # no GGUF of it


def test_an_imported_model_counts_with_its_checkpoints_shape(tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    llama_folder.make(tmp_path)
    entry = config.Model(architecture=config.Architecture(kind="imported", path=str(tmp_path)), base=None)
    found = costs.sizes_of(config.Params(models={"mine": entry}))
    assert found == {"mine": LlamaForCausalLM.from_pretrained(tmp_path).num_parameters()}


def test_a_checkpoint_beside_the_run(known: None, tmp_path: Path) -> None:
    """Its path is relative to the run folder, wherever the plan is asked for."""
    llama_folder.make(tmp_path / "llama")
    folder = run_folder(tmp_path, "mobilellm_mini")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    name = next(iter(params["models"]))
    params["models"][name] |= {"base": None, "instruct": None, "call": None}
    params["models"][name]["architecture"] |= {"kind": "imported", "path": "llama"}
    params |= {"_recipe": "", "deployments": {}, "profiles": {}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    assert "import_model 1" in said(folder, 2)["jobs"]


def test_two_models_are_scored_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scoring takes more memory than these trainings: a whole run of the demo has a peak of 0.87 to 0.90 GiB."""
    monkeypatch.setattr(plan, "costs", lambda works, _: [costs.Cost(100.0 * one.jobs, 0.3, True) for one in works])
    memory = float(said(run_folder(tmp_path, "demo"), 2)["memory"].split()[1])
    assert 0.8 * 0.885 <= memory <= 1.2 * 0.885


def test_on_gpus_cores_do_not_count(known: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    folder = run_folder(tmp_path, "mobilellm_mini", "numerics.device=cuda", "numerics.precision=bf16")
    found = said(folder, 64)
    assert found["time"].startswith(f"about {plan.duration(400 / 3600)} on 64")
    assert found["memory"] == "about 2.0 GiB with 1 job(s) at once"
    assert "MFU of 40% of the 989 TFLOP/s of an H100's data sheet (bf16), assumed" in found["formula"]


def test_a_full_disk_is_refused(known: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_folder(tmp_path, "mobilellm_mini")
    params = config.load(folder / "params.yaml")
    needed = plan.disk_gib(params, costs.trainings(params))
    assert said(folder, 1)["disk"].startswith(f"about {needed:.1f} GiB, ")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, int(needed * 2**30) - 1000))
    with pytest.raises(ArtifactError, match=r"needs about .* GiB of disk, .* free some first"):
        plan.lines(folder, 1)


def test_downloads_are_named_and_no_size_is_invented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = config.parse(yaml.safe_load(compose("bookshelf", [])[0]))
    monkeypatch.setenv("POCKETLM_CACHE", str(tmp_path))
    line = plan.downloads(params, tmp_path)
    assert "MB" not in line and line.endswith("; sizes of others are not known") and "arc_easy, books, boolq" in line
    (tmp_path / "own.txt").write_bytes(bytes(1_500_000))
    params.sources["books"].path = "own.txt"
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / (params.sources["arc_easy"].sha256 or "")).write_bytes(bytes(2_500_000))
    line = plan.downloads(params, tmp_path)
    assert "arc_easy (2.5 MB, here already), books (1.5 MB, here already), boolq" in line
    assert plan.downloads(config.parse(yaml.safe_load(compose("tiny", [])[0])), tmp_path) == "none"
