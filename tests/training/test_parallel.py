"""Several processes (gloo, CPU): the curve of one, exact resume, other layouts, damage, ranks that die."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from pocketlm.artifacts import ArtifactError
from pocketlm.training import loop
from pocketlm.training.checkpoint import Checkpoints, layout
from pocketlm.training.sharded import rows_of

RECIPE: dict[str, Any] = {"steps": 12, "micro_batch": 1, "checkpoint_every": 4, "d_ff": 40, "sharing": 2}
ALONE, DDP2, FSDP2, FSDP4 = ((1, "ddp"), (2, "ddp"), (2, "fsdp"), (4, "fsdp"))


def ranks(kind: tuple[int, str]) -> dict[str, Any]:
    return {"world_size": kind[0], "parallel": kind[1]}


def curve(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / "curve.json").read_text()))


def same_curve(found: list[dict[str, Any]], expected: list[dict[str, Any]], tolerance: float = 1e-5) -> None:
    assert len(found) == len(expected) > 2
    for a, b in zip(found, expected):
        assert a["loss"] == pytest.approx(b["loss"], abs=tolerance)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=10 * tolerance)
        assert (a["val_bpb"] or 0) == pytest.approx(b["val_bpb"] or 0, abs=tolerance)


@pytest.fixture(scope="module")
def done(server: tiny.Server, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], Path]:
    """The same training in each layout, undisturbed; its checkpoints of steps 4 and 8 are there."""
    folders = {}
    for kind in (ALONE, DDP2, FSDP2):
        folders[kind] = tmp_path_factory.mktemp(f"{kind[1]}{kind[0]}")
        status, _ = server.train(folders[kind], **RECIPE, **ranks(kind))
        assert status == 0, (folders[kind] / "said").read_text()
    return folders


@pytest.mark.parametrize("kind", [DDP2, FSDP2])
def test_two_processes_give_the_curve_of_one(kind: tuple[int, str], done: dict[tuple[int, str], Path]) -> None:
    """Muon and AdamW, micro-batches of unequal masks, shared blocks, rounds of validation."""
    same_curve(curve(done[kind]), curve(done[ALONE]))


@pytest.mark.full
@pytest.mark.parametrize("kind", [DDP2, FSDP2, (3, "fsdp"), FSDP4])
@pytest.mark.parametrize(
    "more",
    [
        {"optimizer": "adamw", "rounds": 2},
        {"tied": False, "n_layers": 3, "weight_decay": 0.1},
        {"precision": "bf16", "optimizer": "adamw"},
        {"precision": "bf16"},
    ],
)
def test_every_recipe_in_every_layout(
    kind: tuple[int, str], more: dict[str, Any], server: tiny.Server, tmp_path: Path
) -> None:
    """Three ranks: shards of unequal size, and one that is empty (a norm of 16 over 3 has 6, 6 and 4 rows)."""
    for name, how in (("one", ALONE), ("several", kind)):
        (tmp_path / name).mkdir()
        status, _ = server.train(tmp_path / name, **{**RECIPE, "batch_size": 12, **more, **ranks(how)})
        assert status == 0, (tmp_path / name / "said").read_text()
    tolerance = 1e-5 if "precision" not in more else 5e-3
    same_curve(curve(tmp_path / "several"), curve(tmp_path / "one"), tolerance)


PAIRS = [(ALONE, FSDP2), (FSDP2, ALONE), (DDP2, FSDP2), (FSDP2, DDP2), (ALONE, DDP2), (DDP2, ALONE), (FSDP2, FSDP4)]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_resumed_in_another_layout(
    old: tuple[int, str],
    new: tuple[int, str],
    server: tiny.Server,
    done: dict[tuple[int, str], Path],
    tmp_path: Path,
) -> None:
    """Steps 9 to 12 from the other's weights, momenta and losses; its last row is that of an undisturbed training."""
    shutil.copytree(done[old], tmp_path, dirs_exist_ok=True)
    (tmp_path / "curve.json").unlink()
    status, _ = server.train(tmp_path, **RECIPE, **ranks(new), POCKETLM_RESUME="any")
    said = (tmp_path / "said").read_text()
    assert status == 0 and "going on from the checkpoint of step 8" in said, said
    same_curve(curve(tmp_path), curve(done[ALONE]))


def test_another_layout_only_where_the_user_says_so(
    server: tiny.Server, done: dict[tuple[int, str], Path], tmp_path: Path
) -> None:
    """Else a result would depend on what was interrupted before; the remedy is named."""
    shutil.copytree(done[FSDP2], tmp_path, dirs_exist_ok=True)
    assert server.train(tmp_path, **RECIPE)[0] == 0
    assert "beginning anew" in (tmp_path / "said").read_text()
    assert "POCKETLM_RESUME=any" in (tmp_path / "said").read_text()
    assert (tmp_path / "fingerprint").read_text() == (done[ALONE] / "fingerprint").read_text()


@pytest.mark.parametrize("kind", [DDP2, FSDP2])
def test_first_rank_killed_and_started_again(kind: tuple[int, str], server: tiny.Server, tmp_path: Path) -> None:
    """The other rank ends with one line; weights, optimizer, metrics and curve are bit-identical in the end."""
    recipe = {**RECIPE, "steps": 40, "rounds": 2, "checkpoint_every": 3, **ranks(kind)}
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    status, seconds = server.train(tmp_path / "whole", **recipe)
    assert status == 0
    for share in (0.4, 0.4, 0.0):  # of the processor time of a whole training; the last start is left alone
        status, _ = server.train(tmp_path / "killed", **recipe, die=share * seconds / 2)
        assert (status == 0) == (share == 0)
    said = (tmp_path / "killed" / "said").read_text()
    assert said.count("going on from the checkpoint of step") >= 1, said
    assert "rank 1 lost another rank" in said and "Traceback" not in said
    assert (tmp_path / "killed" / "fingerprint").read_text() == (tmp_path / "whole" / "fingerprint").read_text()


def test_a_rank_that_dies_ends_the_job_with_its_message(tmp_path: Path) -> None:
    """By torchrun, as the rules start it; the next start goes on."""
    words = [f"{name}={json.dumps(value)}" for name, value in {**RECIPE, **ranks(FSDP2)}.items()]
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node=2", tiny.__file__]
    run = [*map(str, torchrun), str(tmp_path), *words]
    first = subprocess.run([*run, "broken=9"], capture_output=True, text=True, timeout=120)
    assert first.returncode != 0 and "rank 1 cannot read batch 9\n" in first.stderr
    again = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0 and "going on from the checkpoint of step 8" in again.stderr, again.stderr


DAMAGE = {
    "shard truncated": lambda folder: (folder / "__1_0.distcp").write_bytes(b"half"),
    "metadata changed": lambda folder: (folder / ".metadata").write_bytes(b"\x80" + b"\0" * 40),
    "shard missing": lambda folder: (folder / "__0_0.distcp").unlink(),
    "checksums missing": lambda folder: (folder / "0.sha256").unlink(),
    "checksums truncated": lambda folder: (folder / "1.sha256").write_bytes(b'{\n "__1_0.distcp": "01'),
    "checksums are garbage": lambda folder: (folder / "1.sha256").write_bytes(b"\xff\xfe\x00"),
    "checksums are no table": lambda folder: (folder / "1.sha256").write_bytes(b"[1]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_newest_folder(
    damage: str, server: tiny.Server, done: dict[tuple[int, str], Path], tmp_path: Path
) -> None:
    shutil.copytree(done[FSDP2], tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "tiny-base-fsdp2" / "step-000000008"
    DAMAGE[damage](newest)
    status, _ = server.train(tmp_path, **RECIPE, **ranks(FSDP2))
    said = (tmp_path / "said").read_text()
    assert status == 0 and f"{newest} is damaged" in said and "going on from the checkpoint of step 4" in said
    assert (tmp_path / "fingerprint").read_text() == (done[FSDP2] / "fingerprint").read_text()


def test_metadata_runs_no_code(done: dict[tuple[int, str], Path]) -> None:
    """DCP itself would unpickle anything that .metadata names."""
    from pocketlm.training.checkpoint_folder import Reader, _Records

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("echo evil",)

    path = done[FSDP2] / "evil"
    path.write_bytes(pickle.dumps(Evil()))
    with path.open("rb") as stream, pytest.raises(ArtifactError, match=r"system, which no checkpoint of ours holds"):
        _Records(stream).load()
    ours = Reader(done[FSDP2] / "tiny-base-fsdp2" / "step-000000008").read_metadata()
    assert "model.model.norm.weight" in ours.state_dict_metadata


@pytest.mark.parametrize("kind", [ALONE, FSDP2])
def test_checkpoint_of_another_architecture(
    kind: tuple[int, str], done: dict[tuple[int, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand only, since the folder's key holds the architecture; what differs is named."""
    monkeypatch.setenv("POCKETLM_RESUME", "any")
    folder = done[kind] / f"tiny-base{layout(*kind)}"
    for changes, words in (
        ({"n_layers": 3}, r"missing: .*model\.layers\.2\."),
        ({"n_layers": 2, "d_ff": 48}, r"mlp.*weight has shape \((40, 16|16, 40)\), not"),
    ):
        job = tiny.job(arch=tiny.arch(**changes), plan=tiny.plan(steps=12), checkpoints=folder)
        with pytest.raises(ArtifactError, match=f"checkpoint .*step-000000008.*{words}"):
            loop.train(job)


def test_weights_of_another_architecture() -> None:
    state = loop.train(tiny.job(plan=tiny.plan(steps=1))).state
    words = r"^tiny: the weights that it starts from: .*: not in this architecture: model\.layers\.1\.input_layernorm\."
    with pytest.raises(ArtifactError, match=words):
        loop.train(tiny.job(arch=tiny.arch(n_layers=1), init_state=state))


@pytest.mark.parametrize(("size", "ranks"), [(16, 2), (5, 4), (3, 4), (1, 2), (7, 3), (12, 1)])
def test_rows_are_cut_as_torch_cuts_them(size: int, ranks: int) -> None:
    chunks = [len(chunk) for chunk in torch.arange(size).chunk(ranks)]
    assert rows_of(size, ranks) == chunks + [0] * (ranks - len(chunks))


FULL_DISK = """
set -e
mount -t tmpfs -o size={size}k none {folder}
python {tiny} {folder} {words} 2>&1 && exit 9
ls {folder}/tiny-base{layout}
mount -o remount,size=64m {folder}
python {tiny} {folder} {words} 2>&1
cat {folder}/fingerprint
"""


@pytest.mark.parametrize("kind", [ALONE, FSDP2])
def test_disk_full_at_a_checkpoint(kind: tuple[int, str], done: dict[tuple[int, str], Path], tmp_path: Path) -> None:
    """A small tmpfs of its own: the second checkpoint does not fit, the first is intact and used after a remedy."""
    own = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"])]
    if subprocess.run([*own, "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("no right to mount a tmpfs: run as root, or where user namespaces are allowed")
    first = done[kind] / f"tiny-base{layout(*kind)}" / ("step-000000004" + (".pt" if kind == ALONE else ""))
    files = [first] if first.is_file() else list(first.iterdir())
    need = sum(-(-file.stat().st_size // 4096) * 4 for file in files)  # KiB in pages
    words = " ".join(f"'{name}={json.dumps(value)}'" for name, value in {**RECIPE, **ranks(kind)}.items())
    script = FULL_DISK.format(
        size=need * 3 // 2 + 16, folder=tmp_path, tiny=tiny.__file__, words=words, layout=layout(*kind)
    )
    run = subprocess.run([*own, "bash", "-c", script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "step-000000008" in run.stdout and "; nothing was written under this name" in run.stdout
    assert "no space left on the disk" in run.stdout and "Traceback" not in run.stdout
    assert "going on from the checkpoint of step 4" in run.stdout
    assert run.stdout.endswith((done[kind] / "fingerprint").read_text())


def test_checkpoints_keep_to_their_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow disk fewer are written than the plan allows, and the result is the same."""
    from pocketlm.training import checkpoint, checkpoint_file

    now, write = [0.0], checkpoint_file.save

    def slow(*arguments: Any) -> str:
        now[0] += 8.0
        return write(*arguments)

    step = loop.Trainer.step

    def timed(self: loop.Trainer) -> None:
        now[0] += 10.0
        step(self)

    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(checkpoint_file, "save", slow)
    monkeypatch.setattr(loop.Trainer, "step", timed)
    saved: list[int] = []
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda self, step, *rest: saved.append(step) or save(self, step, *rest))
    plan = tiny.plan(steps=400, checkpoint_every=10, validate_every=0)
    result = loop.train(tiny.job(plan=plan, checkpoints=tmp_path / "tiny-base"))
    assert saved[0] == 10 and len(saved) == 9  # 3,900 s of steps until the last that is due: 2% is nine times 8 s
    monkeypatch.undo()
    whole = loop.train(tiny.job(plan=plan))
    assert all(torch.equal(result.state[name], whole.state[name]) for name in whole.state)
