"""``pocketlm verify`` on the stub stages: what is the same and what is not."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from stub import command, edited
from stub import environment as stub_environment

from pocketlm.engines import certificate, environment
from pocketlm.engines.dag import Job
from pocketlm.engines.verify import waves

pytestmark = [pytest.mark.xdist_group("recorded"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def project(recorded: Path) -> Path:
    """The finished stub run; what a test changes in it, it puts back."""
    return recorded


def test_from_a_stage_on(project: Path, tmp_path: Path) -> None:
    """Only the stage and those below are made again; the certificate knows no path, host or time."""
    out = command(project, "pocketlm", "verify", "--from", "quantize-a0", "--out", str(tmp_path / "c.json"))
    assert "identical: 3 of 38 stages made again" in out
    assert "identical         results/deploy/a0.sizes.json" in out
    assert "results/deploy/a1" not in out
    text = (tmp_path / "c.json").read_text()
    assert str(project) not in text and os.uname().nodename not in text
    proof = json.loads(text)
    assert proof["verified"]["verdict"] == "identical"
    assert proof["facts"].keys() == {path for path in proof["facts"] if "/facts/" in path} and len(proof["facts"]) == 2
    want = certificate.path_hash(project / "results/models/a0/call")
    assert proof["artefacts"]["results/models/a0/call"] == want
    judged = proof["verified"]["artefacts"]
    assert judged.keys() == proof["artefacts"].keys() | proof["facts"].keys()
    made = {path for path in judged if judged[path] == "identical"}
    assert made == {path for name in proof["verified"]["stages"] for path in proof["provenance"][name]["outputs"]}
    assert judged["results/deploy/a1"] == judged["results/data/world"] == "kept, not made again"


def test_provenance_is_what_dvc_depends_on(project: Path, tmp_path: Path) -> None:
    """Inputs, code and outputs of each stage, as dvc.yaml names them."""
    command(project, "pocketlm", "verify", "--from", "report", "--out", str(tmp_path / "c.json"))
    proof = json.loads((tmp_path / "c.json").read_text())
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    assert proof["provenance"].keys() == stages.keys() - {"code"}
    for name, entry in proof["provenance"].items():
        assert sorted([*entry["code"], *entry["inputs"]]) == stages[name]["deps"]
        assert entry["parameters"] == stages[name].get("params", [])
        for path, value in entry["code"].items():
            assert value == hashlib.sha256((project / path).read_bytes()).hexdigest()


@pytest.mark.full
def test_dirty_tree_is_recorded_and_said(project: Path, tmp_path: Path) -> None:
    """A tracked file that differs from the commit; whether it does is git's own word."""
    clone, proof = tmp_path / "clone", tmp_path / "c.json"
    shutil.copytree(project, clone, symlinks=True)
    command(clone, "git", "add", "Snakefile")
    command(clone, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "clean")
    for dirty in (False, True):
        with (clone / "Snakefile").open("a") as snakefile:
            snakefile.write("# a remark\n" if dirty else "")
        assert bool(command(clone, "git", "status", "--porcelain", "--untracked-files=no")) == dirty
        out = command(clone, "pocketlm", "verify", "--from", "report", "--out", str(proof))
        assert json.loads(proof.read_text())["source"]["dirty"] == dirty
        assert ("had changes beyond its commit" in out) == dirty


def test_certificate_of_a_second_machine(project: Path, tmp_path: Path) -> None:
    """Facts come from the certificate; a stage that differs is named, with what differs around it."""
    command(project, "pocketlm", "verify", "--from", "report", "--out", str(tmp_path / "c.json"))
    proof = json.loads((tmp_path / "c.json").read_text())
    proof["artefacts"]["results/models/a0/call"] = "0" * 64
    proof["environment"]["libraries"]["torch"] = "1.0"
    (tmp_path / "other.json").write_text(json.dumps(proof))
    arguments = ["verify", "--against", str(tmp_path / "other.json"), "--out", str(tmp_path / "d.json")]
    out = command(project, "pocketlm", *arguments, "--from", "call-a0")
    assert "within tolerance  results/models/a0/call\n" in out
    assert "first stage that is not identical: call-a0" in out and "torch 1.0 -> 2.13.0" in out
    proof["environment"]["libraries"]["torch"] = environment.installed("torch")
    (tmp_path / "other.json").write_text(json.dumps(proof))
    out = command(project, "pocketlm", *arguments, "--from", "call-a0", status=1)
    assert "bytes differ on the same kind of machine" in out and "different: " in out


def test_all_of_it_measures_nothing(project: Path, tmp_path: Path) -> None:
    """Facts are reused, although what they are facts of is made again."""
    out = command(project, "pocketlm", "verify", "--out", str(tmp_path / "all.json"))
    assert "Rule: pretrain)" in out and "Rule: report)" in out
    assert "Rule: calibrate)" not in out and "Rule: profile)" not in out
    assert out.count("fact, reused") == 2 and "different" not in out
    assert "identical: 36 of 38 stages made again" in out


@pytest.mark.full
def test_sample(project: Path, tmp_path: Path) -> None:
    """As many stages as asked for, the same ones for the same seed; nothing else is made again."""
    drawn = []
    for seed in ("1", "1", "2"):
        proof = tmp_path / "sample.json"
        out = command(project, "pocketlm", "verify", "--sample", "9", "--seed", seed, "--out", str(proof))
        assert "identical: 9 of 38 stages made again" in out
        drawn.append(json.loads(proof.read_text())["verified"]["stages"])
        rules = re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", out)
        assert sorted(rules) == sorted(name.partition("-")[0] for name in drawn[-1])
    assert len(drawn[0]) == 9 and drawn[0] == drawn[1] != drawn[2]


def test_waves_of_what_is_made_again() -> None:
    """a -> b -> c -> d and a -> d: made again are a, c, d; b is kept, so that c waits until b is marked."""
    chain = [("a", ()), ("b", ("a",)), ("c", ("b",)), ("d", ("c", "a"))]
    jobs = [Job(name, name, before, (name,), frozenset(), (), "", True, "") for name, before in chain]
    assert waves(jobs, {"a", "c", "d"}) == {"a": 0, "b": 1, "c": 1, "d": 1}
    assert waves(jobs, {"a", "b", "c", "d"}) == dict.fromkeys("abcd", 0)
    assert waves(jobs, {"a", "d"}) == {"a": 0, "b": 1, "c": 1, "d": 1}
    assert waves(jobs, {"b", "d"}) == {"a": 0, "b": 0, "c": 1, "d": 1}


def interrupted(folder: Path, begun: Path, *arguments: str, **more: str) -> int:
    """Status of a command that got Ctrl-C as soon as ``begun`` was there."""
    begun.unlink(missing_ok=True)
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env=stub_environment(folder) | more,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(timeout=60)


@pytest.fixture
def slow(project: Path, tmp_path: Path) -> Path:
    """A finished copy of the project whose scores wait for the file ``go`` beside it, and touch ``begun``."""
    folder, go, begun = (tmp_path / name for name in ("project", "go", "begun"))
    shutil.copytree(project, folder, symlinks=True)
    stage = folder / "src/pocketlm/stages/score.py"
    wait = f"    import time\n    Path({str(begun)!r}).touch()\n"
    wait += f"    while not Path({str(go)!r}).exists():\n        time.sleep(0.05)\n"
    stage.write_text(stage.read_text().replace("def run(args):\n", f"def run(args):\n{wait}"))
    go.touch()
    command(folder, "pocketlm", "run", "-j2")
    go.unlink()
    return folder


@pytest.mark.full
def test_interrupted_copy_goes_on(slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--into, given again after Ctrl-C: what was made is not made twice, and another verification is refused."""
    copy, proof, begun = tmp_path / "copy", slow / "certificate.json", tmp_path / "begun"
    proof.write_text("of before")
    arguments = ["pocketlm", "verify", "--from", "quantize-a0", "--into", str(copy)]
    assert interrupted(slow, begun, *arguments) == 130
    assert proof.read_text() == "of before"
    assert (copy / "results/deploy/a0.manifest.json").is_file()
    (tmp_path / "go").touch()
    other = command(slow, "pocketlm", "verify", "--from", "call-a0", "--into", str(copy), status=2)
    assert "was begun with other stages; remove it" in other
    with monkeypatch.context() as patch:
        patch.setenv("ATEN_CPU_CAPABILITY", "default")
        assert "was begun with other environment" in command(slow, *arguments, status=2)
    out = command(slow, *arguments)
    assert "identical: 3 of 38 stages made again" in out and "Rule: quantize)" not in out
    assert f"the clean copy is kept: {copy}" in out
    again = command(slow, *arguments, status=2)
    assert "this verification is finished" in again and "identical" not in again


@pytest.mark.full
def test_interrupt_leaves_nothing(slow: Path, tmp_path: Path) -> None:
    """Neither a certificate nor a copy of the run."""
    place = tmp_path / "temporary"
    place.mkdir()
    arguments = ["pocketlm", "verify", "--from", "score-world-a0"]
    assert interrupted(slow, tmp_path / "begun", *arguments, TMPDIR=str(place)) == 130
    assert not (slow / "certificate.json").exists()
    assert not list(place.glob("pocketlm-verify-*"))


KILLED = """
import sys
from pathlib import Path
from pocketlm.cli import main
from pocketlm.engines import clean_copy
place = clean_copy.place
def dies(source, target, fact):
    if fact is not None:
        raise SystemExit(9)
    place(source, target, fact)
clean_copy.place = dies
main(sys.argv[1:])
"""


@pytest.mark.full
def test_killed_while_the_copy_is_filled(project: Path, tmp_path: Path) -> None:
    """A copy without its facts is none: they would be measured."""
    copy, out = tmp_path / "copy", tmp_path / "c.json"
    arguments = ["verify", "--from", "report", "--into", str(copy), "--out", str(out)]
    command(project, sys.executable, "-c", KILLED, *arguments, status=9)
    assert not copy.exists() and (tmp_path / ".copy.pocketlm-verify/params.yaml").is_file()
    said = command(project, "pocketlm", *arguments)
    assert "identical: 1 of 38 stages made again" in said and "Rule: calibrate)" not in said
    assert not (tmp_path / ".copy.pocketlm-verify").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("all of it")
    said = command(project, "pocketlm", "verify", "--into", str(tmp_path / "mine"), "--out", str(out), status=2)
    assert "is not empty, and no copy of pocketlm verify" in said
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_stale_run_is_not_certified(project: Path, tmp_path: Path) -> None:
    """Artefacts of other parameters are not this run's, though none of their bytes changed."""
    with edited(project / "params.yaml", "title: PocketLM tiny", "title: Another"):
        out = command(project, "pocketlm", "verify", "--from", "report", "--out", str(tmp_path / "c.json"), status=1)
    assert "not finished: report; finish it first: pocketlm run" in out
    assert not (tmp_path / "c.json").exists()


@pytest.mark.full
def test_kept_artefact_of_another_machine_is_not_taken(project: Path, tmp_path: Path) -> None:
    """What would be made of it differs by it: the stage that made it is named, not the one after it."""
    proof = tmp_path / "c.json"
    command(project, "pocketlm", "verify", "--from", "report", "--out", str(proof))
    data = json.loads(proof.read_text())
    data["artefacts"]["results/scores/world/a0.json"] = "0" * 64
    proof.write_text(json.dumps(data))
    arguments = ["pocketlm", "verify", "--against", str(proof), "--out", str(tmp_path / "d.json")]
    out = command(project, *arguments, "--from", "report", status=1)
    assert "first stage that differs: score-world-a0" in out and "Rule: report)" not in out


@pytest.mark.full
def test_another_configuration_is_refused(project: Path, tmp_path: Path) -> None:
    command(project, "pocketlm", "verify", "--from", "report", "--out", str(tmp_path / "c.json"))
    with edited(project / "params.yaml", "title: PocketLM tiny", "title: Another"):
        out = command(project, "pocketlm", "verify", "--against", str(tmp_path / "c.json"), status=2)
    assert "is not what the certificate is of" in out
    assert "no such stage" in command(project, "pocketlm", "verify", "--from", "bake", status=2)


@pytest.mark.full
def test_measured_again_when_asked(project: Path, tmp_path: Path) -> None:
    """The facts and nothing else, in the copy."""
    out = command(project, "pocketlm", "verify", "--measure", "--out", str(tmp_path / "c.json"))
    rules = re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", out)
    assert sorted(rules) == ["calibrate", "profile"]
    assert out.count("identical         results/facts/local/") == 2 and "2 of 38 stages made again" in out
