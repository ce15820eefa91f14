"""A server that forks the stages base, instruct and call of a small model, as the command line runs them.

A line ``FOLDER PHASE`` forks one; it prints the child's pid, and after an empty line its status and CPU time. The child
leaves the hash of the optimizer's state in ``FOLDER/PHASE.optimizer``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tiny

from pocketlm import artifacts, config
from pocketlm.stages import call, instruct, pretrain

SHAPE = {
    "n_layers": 2, "d_model": 16, "n_heads": 2, "n_kv_heads": 1, "head_dim": 8, "d_ff": 32, "max_seq_len": 16,
}  # fmt: skip
STAGES: dict[str, Any] = {"base": pretrain, "instruct": instruct, "call": call}
BEFORE = {"instruct": "base", "call": "instruct"}
# Epochs of text have 62 batches, of dialogues fewer than 20: every phase crosses borders of epochs, two of rounds too.
PLANS = {
    "base": tiny.plan(steps=80, rounds=3, checkpoint_every=9, optimizer="muon"),
    "instruct": tiny.plan(steps=60, rounds=2, checkpoint_every=7, optimizer="adamw", validate_every=0),
    "call": tiny.plan(steps=90, checkpoint_every=8, micro_batch=2),
}


def write_tokens(folder: Path, kind: str, seed: int) -> None:
    """A tokens folder: a counting language, as one text or as dialogues of which the second half is learned."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for split, size in (("train", 4000 if kind == "text" else 1200), ("val", 400)):
        steps = generator.integers(1, 3, size).cumsum() % tiny.VOCAB
        steps.astype(np.uint16).tofile(folder / f"{split}.part.bin")
        each = size if kind == "text" else 8
        np.arange(0, size + 1, each, dtype=np.int64).tofile(folder / f"{split}.part.idx")
        (np.arange(size) % each >= each // 2).astype(np.uint8).tofile(folder / f"{split}.part.mask")
    np.full(tiny.VOCAB, 2, dtype=np.uint16).tofile(folder / "token_bytes.bin")
    part = {"weight": 1.0, "train": {"documents": 150, "tokens": 1200}, "val": {"documents": 50, "tokens": 400}}
    about = {"vocab_size": tiny.VOCAB, "dtype": "uint16", "kind": kind, "pad_id": 1, "parts": {"part": part}}
    artifacts.write_json(folder / "meta.json", {**about, "val_bytes": 800, "val_tokens": 400})
    artifacts.write_manifest(folder, f"{folder}.manifest.json")


def prepare(folder: Path) -> None:
    """The inputs of a run folder."""
    for number, (phase, kind) in enumerate((("base", "text"), ("instruct", "chat"), ("call", "chat"))):
        write_tokens(folder / "results/tokens" / phase, kind, number)
    tokenizer = folder / "results/tokenizers/t"
    tokenizer.mkdir(parents=True)
    (tokenizer / "tokenizer.json").write_text('{"added_tokens": []}')
    (tokenizer / "tokenizer_config.json").write_text("{}")
    artifacts.write_manifest(tokenizer, f"{tokenizer}.manifest.json")


def params(numerics: config.Numerics | None = None) -> config.Params:
    """The parameters of that run; the checks of whole runs are another room's."""
    model = config.Model(
        architecture=config.Architecture(**SHAPE),  # type: ignore[arg-type]
        **{phase: phase for phase in STAGES},
    )
    return config.Params(plans=dict(PLANS), models={"m": model}, numerics=numerics or config.Numerics())


def arguments(phase: str) -> argparse.Namespace:
    """The command line of a phase's stage."""
    parser, out = argparse.ArgumentParser(), f"results/models/m/{phase}"
    STAGES[phase].add_arguments(parser)
    given = ["--entry", "m", "--tokens", f"results/tokens/{phase}.manifest.json", "--out", out]
    given += ["--tokenizer", "results/tokenizers/t.manifest.json", "--manifest", f"{out}.manifest.json"]
    given += ["--init", f"results/models/m/{BEFORE[phase]}.manifest.json"] if phase in BEFORE else []
    return parser.parse_args([*given, "--metrics", f"{out}.metrics.json", "--curve", f"{out}.curve.csv"])


def run(folder: Path, phase: str) -> None:
    """One stage in this process."""
    from pocketlm.training import loop

    os.chdir(folder)
    sys.stderr = Path(f"{phase}.said").open("a")  # noqa: SIM115 - the process ends soon
    config.load = lambda _: params()  # type: ignore[assignment, misc]
    result = loop.Trainer.result

    def remember(self: loop.Trainer) -> Any:
        sha = hashlib.sha256()
        for name, tensor in sorted(self.optimizer.tensors().items()):
            sha.update(name.encode() + tensor.numpy().tobytes())
        Path(f"{phase}.optimizer").write_text(sha.hexdigest())
        return result(self)

    loop.Trainer.result = remember  # type: ignore[method-assign]
    STAGES[phase].run(arguments(phase))


def serve() -> None:
    """Answer lines until there are no more."""
    from pocketlm.model import folder
    from pocketlm.training import loop

    print(loop.__name__, folder.__name__, flush=True)
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                where, phase = line.split()
                run(Path(where), phase)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        sys.stdin.readline()
        _, status, usage = os.wait4(pid, 0)
        print(status, usage.ru_utime + usage.ru_stime, flush=True)


if __name__ == "__main__":
    serve()
