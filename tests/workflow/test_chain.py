"""The whole tiny recipe, for real: by Snakemake and recorded, then by dvc repro in another clone; the same bytes."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from stub import command, copy_project, stale

from pocketlm.artifacts import check_manifest, folder_of, sha256

NOT_COMPARED = {"logs", "benchmarks", "checkpoints", "partial"}
pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("chain"), pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which Snakemake made the tiny recipe, recorded."""
    folder = copy_project(tmp_path_factory.mktemp("chain") / "project", stubbed=False)
    command(folder, "pocketlm", "compose", "recipe=tiny")
    command(folder, "snakemake")
    command(folder, "pocketlm", "record")
    return folder


def test_both_engines_are_clean(made: Path) -> None:
    assert "up to date" in command(made, "dvc", "status")
    assert stale(made) == ([], [])


def test_artefacts_are_what_their_manifests_say(made: Path) -> None:
    manifests = sorted(made.glob("results/**/*.manifest.json"))
    assert len(manifests) > 15
    for manifest in manifests:
        check_manifest(folder_of(manifest), manifest)


def test_results_are_there(made: Path) -> None:
    rows = [row for path in made.glob("results/scores/world/*.json") for row in json.loads(path.read_text())]
    assert {"a0", "a1", "mobilellm", "phonelm"} == {row["model"] for row in rows}
    assert {"bf16", "int8", "int4"} <= {row["scheme"] for row in rows}
    page = (made / "results/report/index.html").read_text()
    assert "mobilellm" in page and "http-equiv" not in page
    assert "a0" in command(made, "pocketlm", "show")
    assert command(made, "pocketlm", "generate", "mobilellm", "Tom has a", "--max-new-tokens", "4")


def hashes(project: Path) -> dict[str, str]:
    """{path: sha256} of every artefact."""
    results = project / "results"
    named = {path.relative_to(results): path for path in results.rglob("*") if path.is_file()}
    return {
        str(name): sha256(path)
        for name, path in named.items()
        if not NOT_COMPARED & set(name.parts) and name.name not in (".snakemake_timestamp", ".gitignore")
    }


def test_dvc_repro_gives_the_same_bytes(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other by DVC what Snakemake made side by side, elsewhere, with other hash seed, locale, time zone.

    Facts travel with the lock: a second machine computes from the same ones. Everything else is made anew; GGUF files
    and the HTML report are compared too.
    """
    folder = tmp_path / "another place" / "clone"
    ignored = shutil.ignore_patterns("results", ".snakemake", "cache", "tmp")
    shutil.copytree(made, folder, symlinks=True, ignore=ignored)
    facts = [str(path.relative_to(made)) for path in made.glob("results/facts/*/*.json")]
    command(made, "dvc", "remote", "add", "-f", "-d", "store", str(tmp_path / "store"))
    command(made, "dvc", "push", "-q", *facts)
    command(folder, "dvc", "remote", "add", "-f", "-d", "store", str(tmp_path / "store"))
    command(folder, "dvc", "pull", "-q", *facts)
    for name, value in (("PYTHONHASHSEED", "7"), ("LC_ALL", "POSIX"), ("TZ", "Asia/Kathmandu")):
        monkeypatch.setenv(name, value)
    command(folder, "dvc", "repro", "-q")
    assert "up to date" in command(folder, "dvc", "status")
    command(folder, "pocketlm", "sync")
    assert stale(folder) == ([], [])
    want = hashes(made)
    assert {Path(name).suffix for name in want} >= {".gguf", ".html", ".safetensors", ".json", ".csv"}
    assert hashes(folder) == want


@pytest.mark.full
def test_one_model_of_four_diverges(made: Path, tmp_path: Path) -> None:
    """By a rate of 50, for real: its log says where, the others and a report stand, a repair makes the same bytes."""
    folder = tmp_path / "clone"
    shutil.copytree(made, folder, symlinks=True)
    command(folder, "pocketlm", "sync")
    params = folder / "params.yaml"
    good = params.read_text()
    data = yaml.safe_load(good)
    plans, model = data["plans"], data["models"]["phonelm"]
    plans["wild"] = {**plans[model["base"]], "lr": 50.0, "muon_lr": 50.0, "steps": 60}
    model["base"] = "wild"
    params.write_text(yaml.safe_dump(data, sort_keys=False))
    out = command(folder, "snakemake", status=1)
    assert re.search(r"phonelm: diverged at step \d+ \(round 1, batch \d+\): its (loss|gradient norm) is", out)
    partial = (folder / "results/report/partial/index.html").read_text()
    assert "diverged at step" in partial and all(name in partial for name in ("a0", "a1", "mobilellm"))
    assert not (folder / "results/models/phonelm/base").exists()
    scored = {path.stem for path in folder.glob("results/scores/world/*.json")}
    assert {"a0", "a1", "mobilellm"} <= scored
    assert "not recorded: pretrain-phonelm" in command(folder, "pocketlm", "record")
    assert "pretrain-phonelm" in stale(folder)[0]
    params.write_text(good)
    command(folder, "snakemake")
    assert hashes(folder) == hashes(made)


@pytest.mark.full
def test_another_instruction_set_is_within_tolerance(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run, made again by libraries that may use less of the processor: other bytes, the same worth."""
    proof, copy = tmp_path / "certificate.json", tmp_path / "copy"
    command(made, "pocketlm", "verify", "--from", "report", "--out", str(proof))
    for name, value in (("ATEN_CPU_CAPABILITY", "default"), ("ONEDNN_MAX_CPU_ISA", "SSE41")):
        monkeypatch.setenv(name, value)
    arguments = ["--against", str(proof), "--out", str(tmp_path / "second.json"), "--into", str(copy)]
    out = command(made, "pocketlm", "verify", *arguments)
    assert out.strip().splitlines()[-1].startswith("within tolerance: ")
    assert "-> DEFAULT" in out and "-> Intel SSE4.1" in out
    judged = json.loads((tmp_path / "second.json").read_text())["verified"]["artefacts"]
    assert judged["results/models/mobilellm/base"] == "within tolerance"
    exact = [path for path in judged if path.startswith(("results/data", "results/tokenizers", "results/tokens"))]
    assert exact and {judged[path] for path in exact} == {"identical"}


@pytest.mark.full
def test_a_whole_recipe_with_two_ranks(tmp_path: Path) -> None:
    """Trainings of two processes, everything else of one; nothing but ``numerics`` is changed."""
    folder = copy_project(tmp_path / "project", stubbed=False)
    command(folder, "pocketlm", "compose", "recipe=tiny", "numerics.world_size=2", "numerics.parallel=fsdp")
    command(folder, "snakemake")
    rows = [row for path in folder.glob("results/scores/world/*.json") for row in json.loads(path.read_text())]
    assert {"a0", "a1", "mobilellm", "phonelm"} == {row["model"] for row in rows}
    assert (folder / "results/report/index.html").is_file()
