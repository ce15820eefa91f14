"""What each option of the decoder costs in training beside plain Llama with the same matmuls; memory of inheritance.

    python benchmarks/options.py [--only NAME ...] [--width 256] [--precision fp32] [--repeats 15] [--out FILE]
    python benchmarks/options.py --memory UNITS

A step is forward and backward of the loss, without the optimizer, so that nothing hides a cost. Option and reference
take turns step by step in one process, and the ratio is of their medians: what disturbs the machine disturbs both.
Options that add work by their method are listed with the work that they add. Measure on a quiet machine.
What was found: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import ctypes
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from pocketlm import numerics  # noqa: E402  (before torch)

numerics.apply(numerics.Numerics())

import torch  # noqa: E402

from pocketlm.config import Architecture, Inherit  # noqa: E402
from pocketlm.model import counts  # noqa: E402
from pocketlm.model.decoder import Decoder  # noqa: E402

VOCABULARY, BATCH, LENGTH, WIDTH = 2048, 4, 128, 256
BOUND = 0.05
LLAMA = Architecture(n_layers=4, d_model=WIDTH, n_heads=8, n_kv_heads=2, head_dim=32, d_ff=768, tied=False)
PLAIN = replace(LLAMA, gated=False, activation="relu", d_ff=1152)  # 2 x 1152 columns as 3 x 768


@dataclass(frozen=True)
class Pair:
    """An option, and plain Llama with the same matmuls."""

    option: Architecture
    reference: Architecture
    why: str = ""  # of work that the method itself adds; such an option is not bounded


PAIRS = {
    "gated ReLU": Pair(replace(LLAMA, activation="relu"), LLAMA),
    "gated squared ReLU": Pair(replace(LLAMA, activation="relu2"), LLAMA),
    "gated GELU": Pair(replace(LLAMA, activation="gelu"), LLAMA),
    "plain FFN, ReLU": Pair(PLAIN, LLAMA),
    "head size 64 instead of 32": Pair(replace(LLAMA, n_heads=4, n_kv_heads=1, head_dim=64), LLAMA),
    "int8-rounded RoPE": Pair(replace(LLAMA, rope_int8=True), LLAMA),
    "tied embeddings": Pair(replace(LLAMA, tied=True), LLAMA),
    "sharing x 2 of half the blocks": Pair(replace(LLAMA, n_layers=2, sharing=2), LLAMA),
    "series activation, n = 2": Pair(replace(LLAMA, series=2), LLAMA, "element-wise terms"),
    "one shortcut, r = 32": Pair(replace(LLAMA, shortcuts=1, shortcut_ratio=32), LLAMA, "two small matmuls a block"),
}  # fmt: skip


def widened(arch: Architecture, width: int) -> Architecture:
    """The same proportions with more heads of the same size."""
    times = width // WIDTH
    heads = {name: getattr(arch, name) * times for name in ("n_heads", "n_kv_heads", "d_ff")}
    return replace(arch, d_model=width, **heads)


def step_of(arch: Architecture, precision: str) -> Callable[[], float]:
    """A training step that returns its seconds."""
    model = Decoder(arch, VOCABULARY, seed=0).train()
    ids = torch.randint(VOCABULARY, (BATCH, LENGTH + 1), generator=torch.Generator().manual_seed(0))

    def step() -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model.loss(ids[:, :-1], ids[:, 1:])
        loss.backward()
        seconds = time.perf_counter() - began
        model.zero_grad(set_to_none=True)
        return seconds

    return step


def compare(name: str, width: int, precision: str, repeats: int) -> str:
    """Measure a pair; a line of the table."""
    pair = PAIRS[name]
    shapes = [widened(arch, width) for arch in (pair.option, pair.reference)]
    option, reference = (step_of(arch, precision) for arch in shapes)
    for warm in (option, reference, option, reference):
        warm()
    times = [(option(), reference()) if turn % 2 else (reference(), option())[::-1] for turn in range(repeats)]
    ours, plain = (statistics.median(column) for column in zip(*times, strict=True))
    flops = [counts.flops_per_token(arch, VOCABULARY, LENGTH // 2) for arch in shapes]
    added = f"{100 * (flops[0] / flops[1] - 1):+.1f} %" + (f", {pair.why}" if pair.why else "")
    throughput = plain / ours - 1
    held = "–" if pair.why else "yes" if throughput >= -BOUND else "no"
    print(f"{name}: {100 * throughput:+.1f} % tokens/s ({1e3 * ours:.0f} ms against {1e3 * plain:.0f} ms)", flush=True)
    return f"| {name} | {1e3 * ours:.1f} | {1e3 * plain:.1f} | {100 * throughput:+.1f} % | {added} | {held} |"


def hand_back_at_once() -> None:
    """Let glibc give freed tensors back to the system, so that the resident peak is of what is alive."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 64 * 1024)  # M_MMAP_THRESHOLD


def inheritance(units: str) -> str:
    """Peak memory of an inheritance above the source that it begins with; a line of the table."""
    from pocketlm.inheritance.inherit import inherit
    from pocketlm.profiling import memory

    hand_back_at_once()
    big = replace(LLAMA, n_layers=12, d_model=768, n_heads=24, n_kv_heads=6, d_ff=2304)
    small = replace(big, n_layers=8, d_model=512, n_heads=16, n_kv_heads=4, d_ff=1536)
    source = Decoder(big, VOCABULARY, seed=0)
    sizes = [4 * counts.params(arch, VOCABULARY) / 2**20 for arch in (big, small)]
    ids = torch.randint(VOCABULARY, (2, 33), generator=torch.Generator().manual_seed(0))
    torch.optim.Adam([torch.nn.Parameter(ids.float())])  # the first optimizer imports torch's compiler: no tensors
    memory.release()
    memory.reset_peak()
    before = memory.resident_mib() or 0.0
    inherit(source, small, [(ids[:, :-1], ids[:, 1:], None)], Inherit(model="big", units=units, mask_steps=2), "here")
    extra = memory.peak_mib() - before
    print(
        f"inherit by {units}: {extra:.0f} MiB above the source; source {sizes[0]:.0f}, target {sizes[1]:.0f}",
        flush=True,
    )
    return f"| {units} | {sizes[0]:.0f} | {sizes[1]:.0f} | {extra:.0f} |"


def main() -> None:
    """Measure what was asked for; print a Markdown table, or append it to a file."""
    parser = argparse.ArgumentParser(description="cost of the decoder's options in training, memory of inheritance")
    parser.add_argument("--only", nargs="*", default=list(PAIRS), choices=list(PAIRS), metavar="NAME")
    parser.add_argument("--width", type=int, default=WIDTH, choices=(256, 512, 1024), help="d_model; heads follow")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="bf16: autocast, fp32 weights")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--memory", choices=("l1", "l2", "taylor", "mask"), help="measure an inheritance instead")
    parser.add_argument("--out", type=Path, help="file that the table is appended to")
    args = parser.parse_args()
    if args.memory:
        lines = ["| units by | source MiB | target MiB | peak above the source MiB |", "|---|--:|--:|--:|"]
        lines.append(inheritance(args.memory))
    else:
        lines = [
            "| option | ms a step | plain Llama, ms | tokens/s | FLOPs | at most 5 % |",
            "|---|--:|--:|--:|---|---|",
        ]
        lines += [compare(name, args.width, args.precision, args.repeats) for name in args.only]
    setting = f"{platform.machine()}, torch {torch.__version__}, one thread, width {args.width}, {args.precision}"
    text = "\n".join([setting, "", *lines]) + "\n"
    if args.out:
        with args.out.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    print("\n" + text)


if __name__ == "__main__":
    main()
