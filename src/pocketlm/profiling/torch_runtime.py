"""The torch runtime: one decoder, batch 1, eager, as ``pocketlm generate`` runs it.

Speed does not depend on the weights, so that an untrained candidate is measured with random ones.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pocketlm import numerics  # before torch: it sets the wait policy of OpenMP
from pocketlm.model.cache import Cache
from pocketlm.model.decoder import Decoder
from pocketlm.profiling import memory

NAME = "torch"


def prepare(threads: int) -> None:
    """Set the threads of this process and what makes small kernels steady."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(False)


def dtype_of(precision: str) -> torch.dtype:
    """Computing type of the runtime: bf16 only where the CPU multiplies it in hardware."""
    return torch.bfloat16 if precision == "bf16" and numerics.cpu_has_bf16() else torch.float32


class TorchModel:
    """A decoder with random weights (or those of a file) that times itself. Times are in seconds."""

    def __init__(
        self, arch: Any, vocab_size: int, dtype: torch.dtype = torch.float32, weights: Path | None = None
    ) -> None:
        self.arch, self.vocab_size, self.dtype = arch, vocab_size, dtype
        self.decoder = Decoder(arch, vocab_size, seed=0 if weights is None else None)
        if weights is not None:
            from safetensors.torch import load_file

            self.decoder.load_state_dict(load_file(weights), strict=True)
        self.decoder = self.decoder.to(dtype).eval()
        self.decoder.requires_grad_(False)

    def ids(self, count: int) -> Tensor:
        """Token ids [1, count], all over the vocabulary."""
        return (torch.arange(count) * 7919 % self.vocab_size)[None]

    def cache(self, length: int) -> Cache:
        """An empty cache of ``length`` tokens."""
        return Cache(self.arch, 1, length, dtype=self.dtype)

    @torch.inference_mode()
    def prefill(self, prompt: int) -> Callable[[], float]:
        """A task: seconds from ``prompt`` ids to the logits of the next token, into an empty cache."""
        ids, cache = self.ids(prompt), self.cache(prompt)

        @torch.inference_mode()
        def task() -> float:
            cache.truncate(0)
            began = time.perf_counter()
            self.decoder.logits(self.decoder(ids, cache=cache)[:, -1]).argmax(-1)
            return time.perf_counter() - began

        return task

    @torch.inference_mode()
    def decode(self, depth: int, new_tokens: int) -> Callable[[], float]:
        """A task: seconds a token of greedy decoding behind ``depth`` cached tokens, over ``new_tokens``."""
        cache = self.cache(depth + new_tokens)
        if depth:
            self.decoder(self.ids(depth), cache=cache)
        first = self.ids(1)

        @torch.inference_mode()
        def task() -> float:
            cache.truncate(depth)
            ids, began = first, time.perf_counter()
            for _ in range(new_tokens):
                ids = self.decoder.logits(self.decoder(ids, cache=cache)).argmax(-1)
            return (time.perf_counter() - began) / new_tokens

        return task


def tasks_of(model: TorchModel, prompts: list[int], depths: list[int], new_tokens: int) -> dict[tuple[str, int], Any]:
    """The measuring tasks of one model, by ("prefill", prompt) and ("decode", depth)."""
    tasks: dict[tuple[str, int], Any] = {("prefill", prompt): model.prefill(prompt) for prompt in prompts}
    return tasks | {("decode", depth): model.decode(depth, new_tokens) for depth in depths}


def load_and_peak(arch: Any, vocab_size: int, dtype: torch.dtype, prompt: int, repeats: int) -> dict[str, Any]:
    """Load times (s) from a bf16 safetensors file, its bytes, and the peak memory of load, prefill and decode.

    The peak is of the whole process, which holds Python and the runtime; ``base_mib`` is what it held before.
    """
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        state = Decoder(arch, vocab_size).state_dict()
        save_file({name: tensor.to(torch.bfloat16).contiguous() for name, tensor in state.items()}, path)
        del state
        times: list[float] = []
        for _ in range(max(2, repeats)):
            began = time.perf_counter()
            TorchModel(arch, vocab_size, dtype, path)
            times.append(time.perf_counter() - began)
        memory.release()
        base = memory.resident_mib()
        exact = memory.reset_peak()
        model = TorchModel(arch, vocab_size, dtype, path)
        model.prefill(prompt)()
        model.decode(prompt, 4)()
        peak = {"peak_mib": memory.peak_mib(), "base_mib": base, "peak_exact": exact}
        return {"load_s": times, "file_bytes": path.stat().st_size, **peak}
