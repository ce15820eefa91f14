"""``pocketlm batch`` prints what the training loop read, in every round; spikes and stalled readers are named."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from pocketlm import artifacts, cli, config
from pocketlm.config import ConfigError
from pocketlm.data.chat import Chat
from pocketlm.data.documents import Document, content_key
from pocketlm.data.reader import TokenReader
from pocketlm.data.tokenizer import save, train
from pocketlm.data.tokens import write_tokens
from pocketlm.training import loop, watch
from pocketlm.training.batches import belonging, known_losses, locate
from pocketlm.training.job import Diverged
from pocketlm.training.watch import Watch, spikes

TEXTS = [f"Day {n}: Ada has {n * 7 % 50} red apples and {n * 3 % 20} green pears." for n in range(400)]
STEPS, SHARE = 12, 0.5


class Recorded:
    """A real reader that remembers what it gave."""

    def __init__(self, reader: TokenReader) -> None:
        self.reader, self.given = reader, []

    def batch(self, round: int, step: int, rows: slice | None = None) -> object:
        found = self.reader.batch(round, step, rows)
        self.given.append(found)
        return found


@pytest.fixture(scope="module", params=["text", "chat"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recorded]:
    """A run folder with tokens, and what two rounds of training on them read."""
    folder = tmp_path_factory.mktemp(request.param)
    results, kind = folder / "results", request.param
    (results / "tokenizers/t").mkdir(parents=True)
    (results / "tokens/c").mkdir(parents=True)
    save(train(TEXTS, 280, True, "t"), results / "tokenizers/t", {})
    documents = [Document(key=content_key(t), text=t) for t in TEXTS]
    if kind == "chat":
        turns = [[{"role": "user", "content": t[:9]}, {"role": "assistant", "content": t}] for t in TEXTS]
        documents = [Document(key=content_key(m[1]["content"]), messages=m) for m in turns]
    write_tokens(results / "tokens/c", {"p": (documents, 1.0)}, Chat(results / "tokenizers/t"), kind, 0.1)
    plan = tiny.plan(corpus="c", seq_len=32, steps=STEPS, rounds=2, round_share=SHARE)
    reader = Recorded(TokenReader(results / "tokens/c", "train", 32, plan.batch_size, 1))
    timing = results / "logs/base-m.timing.jsonl"
    manifest = artifacts.write_manifest(results / "tokens/c", results / "tokens/c.manifest.json")
    job = tiny.job(plan=plan, reader=reader, vocab_size=280, validation=None, timing=timing, label="pretrain m")
    job.belongs = belonging(plan, 1, manifest["sha256"])
    loop.train(job)
    return folder, reader


@pytest.fixture
def parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tiny.plan(corpus="c", seq_len=32, steps=STEPS, rounds=2, round_share=SHARE)
    model = config.Model(architecture=tiny.arch(), base="pretrain", instruct=None, call=None, seed=1)
    given = config.Params(plans={"pretrain": plan}, models={"m": model}, corpora={"c": config.Corpus(tokenizer="t")})
    monkeypatch.setattr(config, "load", lambda _: given)  # the checks of whole runs are another room's


def test_prints_what_the_loop_read(
    trained: tuple[Path, Recorded], parameters: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, reader = trained
    assert len(reader.given) == STEPS + STEPS * SHARE
    for step, read in enumerate(reader.given, 1):
        assert cli.main(f"batch m --step {step} --ids --folder {folder}".split()) == 0
        out = capsys.readouterr().out
        rows = [re.findall(r"^    ids (.*)$", row, re.MULTILINE) for row in out.split("--- row ")[1:]]
        assert len(rows) == len(read.inputs)
        for printed, inputs, targets, numbers in zip(
            rows, read.inputs, read.targets, read.documents if read.documents is not None else [None] * 4
        ):
            wanted = []
            for number in range(1 if numbers is None else int(numbers.max()) + 1):
                at = slice(None) if numbers is None else numbers == number
                ids = [*inputs[at].tolist(), targets[at][-1]]
                wanted += [ids] if (targets[at] != -100).any() else []
            assert [[int(i) for i in line.split()] for line in printed] == wanted


def test_step_inside_a_round(
    trained: tuple[Path, Recorded], parameters: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = trained
    for line in (f"--step {STEPS + 2}", "--step 2 --round 2"):
        assert cli.main(f"batch m {line} --rows 1 --folder {folder}".split()) == 0
    first, second = capsys.readouterr().out.split(f"m base: step {STEPS + 2} (round 2, batch ")[1:]
    assert first == second and "Day" in first
    assert cli.main(f"batch m --step 7 --round 2 --folder {folder}".split()) == 2
    assert "--step 7: choose one from 1 to 6" in capsys.readouterr().err
    assert cli.main(f"batch m --step 1 --round 3 --folder {folder}".split()) == 2
    assert "the plan has 2 round(s)" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["plan", "seed", "corpus"])
def test_losses_of_another_training_are_refused(
    change: str, trained: tuple[Path, Recorded], parameters: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """They would draw batches that no training has read; round 1 needs none."""
    folder, params = trained[0], config.load("params.yaml")
    manifest = folder / "results/tokens/c.manifest.json"
    before = manifest.read_bytes()
    if change == "plan":
        params.plans["pretrain"].lr = 0.5
    elif change == "seed":
        params.models["m"].seed = 2
    else:
        artifacts.write_json(manifest, artifacts.read_json(manifest) | {"sha256": "0" * 64})
    try:
        assert cli.main(f"batch m --step 1 --folder {folder}".split()) == 0
        assert cli.main(f"batch m --step 1 --round 2 --folder {folder}".split()) != 0
    finally:
        manifest.write_bytes(before)
    assert "results/logs does not have those of this plan, seed and corpus: train again" in capsys.readouterr().err


def test_a_further_round_needs_the_losses(trained: tuple[Path, Recorded]) -> None:
    plan = tiny.plan(corpus="c", seq_len=32, steps=STEPS, rounds=2, round_share=SHARE)
    manifest = artifacts.read_json(trained[0] / "results/tokens/c.manifest.json")
    belongs = belonging(plan, 1, manifest["sha256"])
    losses = known_losses(trained[0] / "results/logs/base-m.timing.jsonl", belongs)
    assert losses is not None and len(losses) == STEPS * (1 + SHARE)
    assert locate(plan, 1, 3, None, None).batch == 2
    for known in (None, losses[: STEPS - 1]):
        with pytest.raises(artifacts.ArtifactError, match="of round 2, whose batches were drawn by the losses"):
            locate(plan, 1, STEPS + 1, None, known)
    with pytest.raises(ConfigError, match="choose one from 1 to 18"):
        locate(plan, 1, 19, None, losses)


def test_spikes() -> None:
    generator = np.random.default_rng(0)
    losses = 3.0 * np.exp(-np.arange(400) / 100) + 1.0 + 0.05 * generator.standard_normal(400)
    assert spikes(losses, 0) == []
    losses[[150, 151, 300]] += 1.5
    assert spikes(losses, 0) == [150, 300]  # 151 is no news
    assert spikes(losses, 200) == [300]
    losses[[151, 152]] += (1.0, 4.0)  # it grows, and is looked at after each step
    assert [step for first in range(400) for step in spikes(losses[: first + 1], first)] == [150, 300]
    assert spikes(np.full(100, 2.0), 0) == []
    losses[250:] += 3.0
    assert [step for step in spikes(losses, 200) if 250 <= step < 300] == [250]


def test_a_spike_and_a_slow_read_are_said_with_step_and_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a real training: one batch of noise among counting rows, and one that comes late."""
    monkeypatch.setattr(watch, "SHORTEST", 0.2)
    monkeypatch.setattr(watch, "PATIENCE", 0.1)

    class Hard(tiny.Rows):
        def batch(self, round: int, step: int, rows: slice | None = None) -> tuple[object, ...]:
            if step == 41:
                time.sleep(0.5)
            found = super().batch(round, step, rows)
            if step == 50:
                noise = np.random.default_rng(5).integers(0, tiny.VOCAB, (2, *found[0].shape))
                return (*noise, None, None)
            return found

    plan = tiny.plan(steps=60, lr=0.03, muon_lr=0.05, schedule="constant")
    loop.train(tiny.job(plan=plan, reader=Hard(), validation=None))
    said = capsys.readouterr().err
    assert re.search(r"tiny: the loss spikes at step 51 \(round 1, batch 50\): \d\.\d+, \d\.\d+ on average", said)
    assert said.count("spikes at") == 1
    assert "tiny: the reader stalls at step 42 (batch 41): nothing for 0.1 s" in said
    assert re.search(r"the reader stalled at step 42 \(batch 41\): 0\.5 s, usually 0\.00\d s", said)
    assert said.count("stall") == 2


def test_a_nan_is_named_with_step_and_batch() -> None:
    state = loop.Trainer(tiny.job(), loop.numerics.apply(tiny.Numerics())).model.state_dict()
    state = {name: torch.full_like(t, float("nan")) for name, t in state.items()}
    with pytest.raises(Diverged, match=r"tiny: diverged at step 1 \(round 1, batch 0\): its loss is nan"):
        loop.train(tiny.job(init_state=state))


def test_quiet_reads_say_nothing() -> None:
    said: list[str] = []
    with Watch(said.append, lambda step: (0, step)) as watched:
        for step in range(50):
            watched.read(lambda: None, step, step)
        watched.took(0.9, 50, 50)
    assert said == []
