"""Training speed: PocketLM against Hugging Face's Trainer and litgpt's pretraining, on one model and batch.

    python benchmarks/training.py --shape 15m [--litgpt-python PATH] [--contenders ours,hf] [--device cuda]

Each contender is a process of its own; they take their measured steps in turn, so that what disturbs the machine
disturbs all. litgpt needs an environment of its own: ``python -m venv V; V/bin/pip install torch==2.13.0 litgpt``.
What was found, and on which machine: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

VOCAB = 32000
# 15m: llama2.c's stories15M; 125m, 350m, 1.5b: MobileLLM (2402.14905, table 9): all with Llama's 32,000 entries, tied
SHAPES = {
    "15m": {"n_layers": 6, "d_model": 288, "n_heads": 6, "n_kv_heads": 6, "head_dim": 48, "d_ff": 768},
    "125m": {"n_layers": 30, "d_model": 576, "n_heads": 9, "n_kv_heads": 3, "head_dim": 64, "d_ff": 1536},
    "350m": {"n_layers": 32, "d_model": 960, "n_heads": 15, "n_kv_heads": 5, "head_dim": 64, "d_ff": 2560},
    "1.5b": {"n_layers": 54, "d_model": 1600, "n_heads": 25, "n_kv_heads": 5, "head_dim": 64, "d_ff": 4352},
}
CONTENDERS: dict[str, dict[str, Any]] = {
    "ours": {"contender": "ours", "compile": False},
    "ours-compile": {"contender": "ours", "compile": True},
    "hf": {"contender": "hf", "compile": False},
    "hf-compile": {"contender": "hf", "compile": True},
    "litgpt-mixed": {"contender": "litgpt", "precision": "bf16-mixed"},
    "litgpt-true": {"contender": "litgpt", "precision": "bf16-true"},
}
TITLES = {
    "ours": "PocketLM, eager",
    "ours-compile": "PocketLM, compiled",
    "hf": "HF Trainer, bf16",
    "hf-compile": "HF Trainer, bf16, torch_compile",
    "litgpt-mixed": "litgpt, bf16-mixed (compiled)",
    "litgpt-true": "litgpt, bf16-true (compiled; weights in bf16)",
}


@dataclass
class Runner:
    """A contender's process. ``begins`` and ``first``: seconds from its command to begin and end of its first step."""

    name: str
    command: list[str]
    log: Path
    seconds: list[float] = field(default_factory=list)
    begins: float = 0.0
    first: float = 0.0
    memory: dict[str, Any] = field(default_factory=dict)

    def start(self) -> bool:
        """Start it and wait for its first step; False where it failed."""
        began = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open("w"), text=True,
            env=environment,
        )  # fmt: skip
        alive = self._wait("ready")
        self.begins = time.perf_counter() - began
        alive = alive and self._wait("step")
        self.first = time.perf_counter() - began
        return alive

    def _wait(self, word: str) -> bool:
        assert self.process.stdout is not None
        return self.process.stdout.readline() == word + "\n"

    def step(self) -> float:
        """Seconds of one step."""
        began = time.perf_counter()
        self._send("go\n")
        if not self._wait("step"):
            raise SystemExit(f"{self.name}: stopped:\n{self.log.read_text()[-2000:]}")
        return time.perf_counter() - began

    def _send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def stop(self) -> None:
        """End it and take its peak memory."""
        assert self.process.stdout is not None
        self._send("stop\n")
        self.memory = json.loads(self.process.stdout.readline() or "{}")
        self.process.wait()


def tokens(folder: Path, count: int) -> None:
    """A folder of Zipf-distributed token ids in PocketLM's format; the others read its flat file."""
    import numpy as np

    share = 1.0 / np.arange(1, VOCAB + 1)
    rng = np.random.default_rng(0)
    rng.choice(VOCAB, count, p=share / share.sum()).astype("uint16").tofile(folder / "train.text.bin")
    np.full(VOCAB, 4, dtype="uint16").tofile(folder / "token_bytes.bin")
    part = {"weight": 1.0, "train": {"documents": 1}, "val": {"documents": 0}}
    meta = {"kind": "text", "dtype": "uint16", "pad_id": 0, "vocab_size": VOCAB, "parts": {"text": part}}
    (folder / "meta.json").write_text(json.dumps(meta))


def matrix_peak(device: str, threads: int) -> float:
    """FLOP/s of a large bf16 matrix product: measured on a CPU, the dense figure of the data sheet on a GPU."""
    from pocketlm import numerics

    if device == "cuda":
        import torch

        name = torch.cuda.get_device_name()
        return next((peak for key, peak in numerics.PEAK_BF16.items() if key in name), float("nan"))
    code = (
        "import sys, time, torch; torch.set_num_threads(int(sys.argv[1])); n = 3072; best = 9e9\n"
        "x = torch.full((n, n), 0.5, dtype=torch.bfloat16); y = x.clone()\n"
        "for _ in range(20): began = time.perf_counter(); x @ y; best = min(best, time.perf_counter() - began)\n"
        "print(2 * n**3 / best)"
    )
    return float(subprocess.check_output([sys.executable, "-c", code, str(threads)], text=True))


def flops_per_token(shape: dict[str, int], seq_len: int) -> float:
    """Training FLOPs a token by the formula of the timing log: 6 a multiplying weight, plus causal attention."""
    from pocketlm.training.metrics import flops_per_token as formula

    width, kv = shape["n_heads"] * shape["head_dim"], shape["n_kv_heads"] * shape["head_dim"]
    layer = shape["d_model"] * (2 * width + 2 * kv + 3 * shape["d_ff"])
    return formula(shape["n_layers"] * layer + VOCAB * shape["d_model"], 0, shape["n_layers"], width, seq_len)


def runner(name: str, args: argparse.Namespace, folder: Path) -> Runner | None:
    """The process of a contender; None, and a line that says why, where it cannot be."""
    spec = CONTENDERS[name] | {
        "shape": SHAPES[args.shape], "vocab": VOCAB, "seq_len": args.seq_len, "batch": args.batch,
        "micro_batch": args.micro_batch or args.batch,
        "threads": args.threads, "device": args.device, "tokens": str(folder),
    }  # fmt: skip
    litgpt = spec["contender"] == "litgpt"
    if litgpt and args.litgpt_python is None:
        print(f"{name}: left out: no --litgpt-python", flush=True)
        return None
    python = str(args.litgpt_python) if litgpt else sys.executable
    command = [python, str(ROOT / "benchmarks" / "training_contenders.py"), json.dumps(spec)]
    return Runner(name, command, folder / f"{name}.log")


def measure(args: argparse.Namespace, folder: Path) -> list[Runner]:
    """Start all, one after the other; warm up; then measured steps in turn."""
    wanted = [runner(name, args, folder) for name in args.contenders.split(",")]
    running = []
    for one in (r for r in wanted if r is not None):
        if one.start():
            running.append(one)
            print(f"{one.name}: first step from {one.begins:.1f} to {one.first:.1f} s", flush=True)
        else:
            print(f"{one.name}: left out: it failed:\n{one.log.read_text()[-1500:]}", flush=True)
    for number in range(args.warmup + args.steps):
        for one in running:
            seconds = one.step()
            if number >= args.warmup:
                one.seconds.append(seconds)
    for one in running:
        one.stop()
    return running


def rows(found: list[Runner], args: argparse.Namespace, peak: float) -> list[dict[str, Any]]:
    """The figures of each contender."""
    per_step, flops = args.batch * args.seq_len, flops_per_token(SHAPES[args.shape], args.seq_len)
    medians = {one.name: statistics.median(one.seconds) for one in found}
    return [
        {
            "contender": one.name,
            "tok_s": per_step / medians[one.name],
            "spread": (max(one.seconds) - min(one.seconds)) / medians[one.name],
            "mfu": per_step / medians[one.name] * flops / peak,
            "first_step_begins_s": one.begins,
            "first_step_ends_s": one.first,
            **one.memory,
            "ours_is_faster_by": {k: medians[one.name] / medians[k] for k in ("ours", "ours-compile") if k in medians},
        }
        for one in found
    ]


def page(data: dict[str, Any]) -> str:
    """The figures as a markdown page: hardware, configuration, commit and date, and a table."""
    shape = ", ".join(f"{name} {value}" for name, value in SHAPES[data["shape"]].items())
    lines = [
        f"# Training speed, {data['shape']}, {data['date']}",
        "",
        f"- Hardware: {data['machine']}; bf16 matrix peak {data['peak'] / 1e9:.0f} GFLOP/s",
        f"- Configuration: {data['shape']} ({shape}, vocabulary {VOCAB}, tied), batch {data['batch']} x "
        f"{data['seq_len']} in micro-batches of {data['micro_batch'] or data['batch']}, bf16, "
        f"{data['threads']} threads, {data['device']}; median of {data['steps']} steps",
        f"- Versions: {data['versions']}",
        f"- Commit: {data['commit']}",
        f"- Command: `{data['command']}`",
        "",
        "| | tok/s | spread | MFU | peak memory MiB | command to first step s | to its end s "
        "| our eager is faster by | our compiled by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in data["rows"]:
        by = row["ours_is_faster_by"]
        cells = [f"{by[k]:.2f}" if k in by else "" for k in ("ours", "ours-compile")]
        memory = row.get("device_peak_mib") or row.get("peak_mib") or float("nan")
        lines.append(
            f"| {TITLES[row['contender']]} | {row['tok_s']:.0f} | {row['spread']:.0%} | {row['mfu']:.1%} | "
            f"{memory:.0f} | {row['first_step_begins_s']:.1f} | {row['first_step_ends_s']:.1f} | {' | '.join(cells)} |"
        )
    return "\n".join([*lines, ""])


def machine(device: str) -> str:
    """The hardware by name: GPU, CPU, cores."""
    from pocketlm.profiling.device import cpu_model

    found = f"{cpu_model()}, {os.cpu_count()} cores"
    if device == "cuda":
        import torch

        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        found = f"{torch.cuda.get_device_name()}, {memory:.0f} GiB; {found}"
    return found


def commit() -> str | None:
    """The commit of this checkout, and whether files differ from it; None outside git."""
    words = ["git", "describe", "--always", "--abbrev=12", "--match=", "--dirty"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True).stdout.strip() or None


def main() -> None:
    """Measure, print the table, write it as JSON too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shape", choices=SHAPES, default="15m", help="(default: 15m)")
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="comma-separated (default: all)")
    parser.add_argument("--batch", type=int, default=8, help="sequences a step (default: 8)")
    parser.add_argument("--micro-batch", type=int, help="sequences a forward pass (default: all of the batch)")
    parser.add_argument("--seq-len", type=int, default=512, help="tokens a sequence (default: 512)")
    parser.add_argument("--threads", type=int, default=2, help="of each contender (default: 2)")
    parser.add_argument("--warmup", type=int, default=1, help="steps after the first that are not measured (1)")
    parser.add_argument("--steps", type=int, default=5, help="measured steps (default: 5)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")
    parser.add_argument("--litgpt-python", type=Path, help="interpreter of an environment with litgpt")
    parser.add_argument("--page", type=Path, help="markdown page to write (default: printed)")
    parser.add_argument("--out", type=Path, help="JSON to write (default: none)")
    args = parser.parse_args()
    if args.micro_batch and args.batch % args.micro_batch:
        parser.error("--micro-batch does not divide --batch")
    with tempfile.TemporaryDirectory(prefix="pocketlm-training-") as base:
        folder = Path(base)
        tokens(folder, args.batch * args.seq_len * 64 + 1)
        peak = matrix_peak(args.device, args.threads)
        found = measure(args, folder)
    data = {
        name: getattr(args, name) for name in ("shape", "batch", "micro_batch", "seq_len", "threads", "device", "steps")
    } | {
        "peak": peak,
        "machine": machine(args.device),
        "date": datetime.date.today().isoformat(),
        "versions": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "accelerate")),
        "commit": commit(),
        "command": shlex.join(["python", "benchmarks/training.py", *sys.argv[1:]]),
        "rows": rows(found, args, peak),
    }
    if args.page is None:
        print(page(data))
    else:
        args.page.write_text(page(data), encoding="utf-8")
    if args.out is not None:
        args.out.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
