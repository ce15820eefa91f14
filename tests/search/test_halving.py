"""Promotion and selection, worked by hand; a whole small search with a stub in the trainer's place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_space import PREDICTOR, THIN, VOCABULARIES, search

from pocketlm.artifacts import ArtifactError, write_json
from pocketlm.config import Numerics, Plan
from pocketlm.search.halving import promote
from pocketlm.search.propose import propose
from pocketlm.search.select import arch_file, select, winners
from pocketlm.search.trials import checkpoint_name, run_trial


def trial(slot: int, loss: float | None, ms: float, depth: int = 4, anchor: str | None = None, rung: int = 0) -> dict:
    shape = {"n_layers": depth, "sharing": 1}
    record = {"name": f"c{slot}", "anchor": anchor, "architecture": shape, "vocab_size": 300, "params": 1}
    about = {"predicted": {"decode_ms": ms}, "loss_bpb": loss, "diverged": loss is None, "rung": rung, "slot": slot}
    return record | about | {"tokens": 10}


def test_promotion_by_hand() -> None:
    trials = [
        trial(0, 1.0, 1.0, anchor="named"),  # best and fastest, but an anchor
        trial(1, 2.0, 5.0),  # front
        trial(2, 2.1, 6.0),  # behind 1
        trial(3, 3.0, 2.0),  # front: fastest
        trial(4, None, 1.0),  # diverged
        trial(5, 2.5, 4.0),  # front
        trial(6, 2.6, 4.5),  # behind 5
    ]
    assert [slot["name"] for slot in promote(trials, 4)] == ["c1", "c5", "c3", "c2"]
    assert promote(trials, 7)[5:] == [None, None]  # five are alive
    assert "loss_bpb" not in promote(trials, 1)[0]


def test_winners_of_different_policies_by_hand() -> None:
    trials = [
        trial(0, 2.000, 10.0),  # best loss
        trial(1, 2.030, 7.0),  # fastest within 2%
        trial(2, 2.050, 2.0),  # out of the 2%; the knee
        trial(3, 2.900, 1.8),
        trial(4, 2.001, 7.5),  # within 15% of 1
    ]
    found = winners(trials, 3, 0.02, 0.15)
    assert [w["trial"]["name"] for w in found] == ["c1", "c0", "c2"]
    assert len({w["policy"] for w in found}) == 3 and all(w["separated"] for w in found)


def test_a_winner_that_is_too_near_gives_way_and_depth_separates() -> None:
    near = [trial(0, 2.0, 10.0), trial(1, 2.1, 9.9), trial(2, 2.5, 5.0)]
    assert [w["trial"]["name"] for w in winners(near, 2, 0.0, 0.15)] == ["c0", "c2"]
    near[1]["architecture"]["n_layers"] = 6
    assert [w["trial"]["name"] for w in winners(near, 2, 0.0, 0.15)] == ["c0", "c1"]
    alike = [trial(0, 2.0, 10.0), trial(1, 2.1, 9.9)]
    assert [w["separated"] for w in winners(alike, 2, 0.0, 0.15)] == [True, False]


def test_shorter_rungs_fill_up_and_nothing_alive_is_an_error() -> None:
    trials = [trial(0, 2.0, 10.0, rung=1), trial(1, 3.0, 5.0), trial(2, 2.9, 4.0)]
    assert [w["trial"]["name"] for w in winners(trials, 3, 0.02, 0.15)] == ["c0", "c2", "c1"]
    with pytest.raises(ArtifactError, match="asked for"):
        winners(trials, 4, 0.02, 0.15)
    with pytest.raises(ArtifactError, match="every trial diverged"):
        winners([trial(0, None, 1.0)], 1, 0.02, 0.15)


def tokens(folder: Path) -> list[Path]:
    """Two tokens folders that hold what a trial looks at."""
    for name, size in VOCABULARIES.items():
        write_json(folder / name / "meta.json", {"vocab_size": size})
        write_json(folder / f"{name}.manifest.json", {"sha256": name})
    return [folder / name for name in VOCABULARIES]


def stub(record, plan, folder, seed, numerics, label, checkpoints) -> dict:
    """A trainer whose loss falls with size and steps; it diverges at one shape."""
    from pocketlm.training.job import Diverged

    if record["architecture"]["gated"] and record["architecture"]["activation"] == "relu":
        raise Diverged(label, 3, 0, 2, "its loss is nan")
    assert folder.name == record["architecture"]["tokenizer"] and plan.rounds == 1
    loss = 10 / record["params"] ** 0.1 + 1 / plan.steps
    return {"tokens": 64 * plan.steps, "val_loss": loss, "val_bits_per_byte": loss}


def run_search(folder: Path) -> tuple[dict, dict]:
    entry, folders = search(), tokens(folder)
    proposal = propose(entry, THIN, VOCABULARIES, PREDICTOR)
    slots, trials = proposal["slots"], []
    for rung, level in enumerate(entry.rungs):
        common = (Plan(rounds=3), level.steps, folders, 0, Numerics())
        done = [
            run_trial(record, *common, f"r{rung}-s{slot}", folder, trainer=stub) | {"rung": rung, "slot": slot}
            for slot, record in enumerate(slots)
        ]
        trials += done
        if rung + 1 < len(entry.rungs):
            slots = promote(done, entry.rungs[rung + 1].slots)
    common = (Plan(), entry.rungs[-1].steps, folders, 0, Numerics())
    arm = [run_trial(record, *common, "random", folder, trainer=stub) for record in proposal["random"]]
    return proposal, select(proposal, {}, trials, {"trials": arm}, 2, entry.epsilon, entry.separation)


def test_a_whole_search_with_a_stub_trainer(tmp_path) -> None:
    proposal, front = run_search(tmp_path)
    assert front == run_search(tmp_path)[1]
    json.dumps(front, allow_nan=False)
    assert len(front["trials"]) == 5 + 2 and front["feasible"] == proposal["feasible"]
    assert [w["name"] for w in front["winners"]] == ["a0", "a1"]
    assert front["winners"][0]["policy"] != front["winners"][1]["policy"]
    living = [t for t in front["trials"] if not t["diverged"] and not t["anchor"]]
    assert {w["shape"] for w in front["winners"]} <= {t["name"] for t in living}
    assert front["random"]["searched_best"] == min(t["loss_bpb"] for t in living if t["rung"] == 1)
    assert front["random"]["budget_tokens"] == 64 * sum(t["steps"] for t in living)
    assert front["rank_agreement"] == [{"rungs": [0, 1], "n": 2, "kendall": 1.0, "spearman": 1.0}]
    first = arch_file(front["winners"][0], 0)
    assert first["kind"] == "searched" and first["rank"] == 0 and first["params"] > 0


def test_a_trial_of_changed_code_begins_anew(tmp_path, monkeypatch) -> None:
    """As every training: what an older program or torch has left is never gone on from."""
    from pocketlm.training import checkpoint

    record = propose(search(), THIN, VOCABULARIES, PREDICTOR)["slots"][1]
    given = (record, Plan(), tokens(tmp_path)[0], 0, Numerics())
    names = [checkpoint_name(*given), checkpoint_name(*given)]
    monkeypatch.setattr(checkpoint.torch, "__version__", "0.0.1")
    names.append(checkpoint_name(*given))
    monkeypatch.setattr(checkpoint, "_meaning", lambda source: "other code")
    names.append(checkpoint_name(*given))
    assert names[0] == names[1] and len(set(names)) == 3


def test_a_diverged_trial_and_an_empty_slot_are_results(tmp_path) -> None:
    folders = tokens(tmp_path)
    record = propose(search(), THIN, VOCABULARIES, PREDICTOR)["slots"][1]
    record["architecture"] |= {"gated": True, "activation": "relu"}
    found = run_trial(record, Plan(), 4, folders, 0, Numerics(), "r0-s1", tmp_path, trainer=stub)
    assert found["diverged"] and found["loss_bpb"] is None and "step 3" in found["why"]
    empty = run_trial(None, Plan(), 4, folders, 0, Numerics(), "r1-s1", tmp_path, trainer=stub)
    assert empty["diverged"] and empty["candidate"] is None
    with pytest.raises(ArtifactError, match="vocab_size"):
        run_trial(record | {"vocab_size": 7}, Plan(), 4, folders, 0, Numerics(), "x", tmp_path, trainer=stub)
