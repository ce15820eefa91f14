"""``pocketlm verify`` on the stub stages: what is the same and what is not."""

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
from stub import command, edited
from stub import environment as stub_environment

from pocketlm.engines import certificate, environment, verdict
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


def test_interrupted_copy_goes_on(project: Path, tmp_path: Path) -> None:
    """--into, given again after Ctrl-C: what was made in the copy is not made twice."""
    folder, copy, go, begun = (tmp_path / name for name in ("project", "copy", "go", "begun"))
    shutil.copytree(project, folder, symlinks=True)
    stage = folder / "src/pocketlm/stages/score.py"
    wait = f"    import time\n    Path({str(begun)!r}).touch()\n"
    wait += f"    while not Path({str(go)!r}).exists():\n        time.sleep(0.05)\n"
    stage.write_text(stage.read_text().replace("def run(args):\n", f"def run(args):\n{wait}"))
    go.touch()
    command(folder, "pocketlm", "run", "-j2")
    go.unlink()
    begun.unlink()
    arguments = ["pocketlm", "verify", "--from", "quantize-a0", "--into", str(copy)]
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env=stub_environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) != 0
    assert (copy / "results/deploy/a0.manifest.json").is_file()
    go.touch()
    out = command(folder, *arguments)
    assert "identical: 3 of 38 stages made again" in out and "Rule: quantize)" not in out
    assert f"the clean copy is kept: {copy}" in out


def test_another_configuration_is_refused(project: Path, tmp_path: Path) -> None:
    command(project, "pocketlm", "verify", "--from", "report", "--out", str(tmp_path / "c.json"))
    with edited(project / "params.yaml", "title: PocketLM tiny", "title: Another"):
        out = command(project, "pocketlm", "verify", "--against", str(tmp_path / "c.json"), status=2)
    assert "is not what the certificate is of" in out
    assert "no such stage" in command(project, "pocketlm", "verify", "--from", "bake", status=2)


@pytest.mark.parametrize("where", ["artefact", "cache"])
def test_flipped_bit_is_named(project: Path, where: str) -> None:
    """Even where size and time of the file are as before, which DVC would trust."""
    from pocketlm.engines import intact, store

    artefact = "results/scores/world/a0.json"
    out = next(out for out in intact.outs(project) if out["path"] == artefact)
    path = project / artefact if where == "artefact" else intact.cache_file(store.cache(project), out["md5"])
    state, before = path.stat(), path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    try:
        found = command(project, "pocketlm", "verify", "--bytes", status=1)
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        path.chmod(state.st_mode)
    assert artefact in found and ("cache object" in found) == (where == "cache")
    assert "every recorded byte is as it was" in command(project, "pocketlm", "verify", "--bytes")


@pytest.mark.full
@pytest.mark.parametrize(
    "name, value, library",
    [("ATEN_CPU_CAPABILITY", "default", "torch"), ("ONEDNN_MAX_CPU_ISA", "SSE41", "onednn"),
     ("MKL_CBWR", "COMPATIBLE", "mkl_reproducibility")],
)  # fmt: skip
def test_instruction_set_is_the_one_in_use(name: str, value: str, library: str) -> None:
    """Not what the processor has: a restricted library is another kind of machine."""
    code = "import json; from pocketlm.engines.instructions import effective; print(json.dumps(effective()))"
    free = {key: text for key, text in os.environ.items() if key != name}
    found = []
    for more in ({}, {name: value}):
        done = subprocess.run([sys.executable, "-c", code], env=free | more, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    changed = {key for key in found[0] if found[0][key] != found[1][key]}
    assert changed == {library} and found[1]["torch"]
    kinds = [{"instructions": words} for words in found]
    assert not environment.same_kind(*kinds) and environment.same_kind(kinds[0], kinds[0])


def test_scores_within_three_errors_losses_within_a_fiftieth() -> None:
    """Against the definition by hand."""
    wanted = {"base/acc value": 0.5, "base/acc stderr": 0.03, "val_loss": 2.0, "params": 10.0}
    near = {"base/acc value": 0.42, "base/acc stderr": 0.05, "val_loss": 2.03, "params": 10.0}
    assert certificate.outside(wanted, near) == []
    far = {"base/acc value": 0.40, "base/acc stderr": 0.03, "val_loss": 2.05, "params": 11.0}
    assert [line.partition(":")[0] for line in certificate.outside(wanted, far)] == [
        "base/acc value",
        "params",
        "val_loss",
    ]
    assert certificate.outside({"a": 1.0}, {}) == ["a: missing"]


def test_stage_that_was_not_made_is_different(tmp_path: Path) -> None:
    """A failed or interrupted rerun is compared too: what is missing is said, its values among it."""
    path = "results/models/a0/base.metrics.json"
    job = Job("pretrain-a0", "pretrain", (), (path,), frozenset(), (), "", True, "")
    proof = {"artefacts": {path: "0" * 64}, "values": {path: {"val_loss": 2.0}}}
    findings = verdict.compare(tmp_path, [job], {job.name}, proof, same=True)
    assert [(f.path, f.verdict, f.why) for f in findings] == [(path, "different", "was not made")]


def test_merge_conflict_says_how_to_settle_it(project: Path, tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("<<<<<<< ours\nstages: {}\n=======\n>>>>>>> theirs\n")
    from pocketlm.artifacts import ArtifactError
    from pocketlm.engines import intact

    with pytest.raises(ArtifactError, match=r"take one side.*dvc checkout"):
        intact.lock(tmp_path)
