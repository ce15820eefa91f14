"""What a training leaves beside its weights: curve rows, metrics, and the timing log (which is no output)."""

from __future__ import annotations

import csv
import io
import json
import math
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlm import artifacts, numerics

if TYPE_CHECKING:
    from pocketlm.training.job import TrainJob

COLUMNS = ("step", "round", "loss", "lr", "grad_norm", "val_bpb")


def rounded(value: float | None, digits: int = 6) -> float | None:
    """A float at ``digits`` significant digits; None where it is not finite, as JSON has no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def bits_per_byte(nats: float, size: int) -> float:
    """A summed loss in nats over ``size`` bytes of text as bits a byte: comparable between vocabularies."""
    return nats / math.log(2) / size


def write_curve(path: str | Path, rows: list[dict[str, Any]]) -> None:
    """Curve rows as CSV, atomically; an empty cell where there is no value (DVC plots read it)."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    artifacts.write_text(path, stream.getvalue())


def flops_per_token(params: int, embedding: int, n_layers: int, width: int, seq_len: int) -> float:
    """Training FLOPs a token: 6 for each weight that multiplies, plus causal attention (PaLM, appendix B, halved).

    ``params`` without the input embedding (``embedding``), which is looked up; a tied head still multiplies.
    ``width`` = heads x head size.
    """
    return 6.0 * (params - embedding) + 6.0 * n_layers * width * seq_len


def peak_memory_mib() -> float:
    """Peak resident memory of this process in MiB."""
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / (1 << 20 if sys.platform == "darwin" else 1 << 10)


class TimingLog:
    """Appends one JSON line a window: tokens/s, MFU, memory. What depends on time is kept out of the artefacts."""

    def __init__(self, path: str | Path | None, tokens_per_step: int, flops: float, peak: float | None) -> None:
        self.path = None if path is None else Path(path)
        self.tokens_per_step, self.flops, self.peak = tokens_per_step, flops, peak
        self.since, self.step = time.perf_counter(), 0
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)

    def restart(self, step: int) -> None:
        """The next window begins now, at ``step``."""
        self.since, self.step = time.perf_counter(), step

    def write(self, step: int, loss: float) -> None:
        """Close the window that ends at ``step``."""
        if self.path is None or step <= self.step:
            return
        seconds = time.perf_counter() - self.since
        rate = (step - self.step) * self.tokens_per_step / max(1e-9, seconds)
        row = {
            "step": step,
            "loss": rounded(loss),
            "seconds": rounded(seconds),
            "tok_s": rounded(rate, 5),
            "mfu": None if not self.peak else rounded(rate * self.flops / self.peak, 4),
            "peak_memory_mib": rounded(peak_memory_mib(), 5),
        }
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        self.restart(step)


def timing_log(job: TrainJob, runtime: numerics.Runtime, params: int, tokens_per_step: int) -> TimingLog:
    """The timing log of a training whose model has ``params`` parameters; only rank 0 writes one."""
    arch = job.arch
    looked_up = 0 if arch.tied else job.vocab_size * arch.d_model
    layers, width = arch.n_layers * arch.sharing, arch.n_heads * arch.head_dim
    flops = flops_per_token(params, looked_up, layers, width, job.plan.seq_len)
    path = job.timing if runtime.rank == 0 else None
    peak = None if path is None else numerics.peak_flops(runtime)
    return TimingLog(path, tokens_per_step, flops, None if peak is None else peak * runtime.world_size)
