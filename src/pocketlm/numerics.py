"""Applies ``numerics`` of params.yaml to this process, and refuses what the machine cannot honour.

Import this module before torch: OpenMP reads its wait policy once, when torch is loaded, and spinning threads of two
jobs on the same cores slow each other down many times.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlm.config import ConfigError, Numerics

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")
# a fraction of a millisecond, so that threads of one job need not be woken for each of a step's thousands of operations
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}  # x86 and arm64 names in /proc/cpuinfo
PEAK_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}  # dense, FLOP/s


@dataclass(frozen=True)
class Runtime:
    """Where and how this process computes: device, autocast or not, rank among ``world_size`` processes."""

    device: torch.device
    bf16: bool
    compile: bool
    rank: int = 0
    world_size: int = 1

    def autocast(self) -> Any:
        """The autocast context of ``precision``: bf16 products with fp32 master weights, or nothing."""
        import torch

        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def cpu_flags(cpuinfo: str | Path = "/proc/cpuinfo") -> set[str]:
    """The instruction-set names of this CPU; empty where the system does not tell."""
    try:
        lines = Path(cpuinfo).read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    names = (line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features")))
    return set(next(names, []))


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices in hardware (AVX512-BF16, AMX, or Arm's BF16)."""
    import torch

    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    known = any(bool(value) and "bf16" in str(name).lower() for name, value in capabilities.items())
    return known or bool(cpu_flags() & BF16_FLAGS)


def cxx() -> str:
    """The C++ compiler that torch.compile calls (``torch._inductor.config.cpp.cxx``)."""
    return os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")


def check(numerics: Numerics) -> None:
    """Raise ConfigError where this machine cannot compute as ``numerics`` asks; each message names the remedy."""
    import torch

    if numerics.device not in ("cpu", "cuda"):
        raise ConfigError(f"numerics.device={numerics.device}: unknown device; use cpu or cuda")
    if numerics.precision not in ("fp32", "bf16"):
        raise ConfigError(f"numerics.precision={numerics.precision}: unknown precision; use fp32 or bf16")
    if numerics.parallel not in ("ddp", "fsdp"):
        raise ConfigError(f"numerics.parallel={numerics.parallel}: unknown; use ddp or fsdp")
    if numerics.threads < 1 or numerics.world_size < 1:
        raise ConfigError("numerics.threads and numerics.world_size must be at least 1")
    if numerics.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("numerics.device=cuda: this machine has no usable GPU; set numerics.device=cpu")
    if numerics.precision == "bf16" and numerics.device == "cpu" and not cpu_has_bf16():
        raise ConfigError(
            "numerics.precision=bf16: this CPU has no bf16 instructions (AVX512-BF16, AMX or Arm BF16); "
            "set numerics.precision=fp32"
        )
    if numerics.compile and shutil.which(cxx()) is None:
        raise ConfigError(
            f"numerics.compile=true: torch.compile needs a C++ compiler, and there is no {cxx()} here; install one "
            "(apt-get install g++), name yours in CXX, or set numerics.compile=false"
        )
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks != numerics.world_size:
        raise ConfigError(
            f"numerics.world_size={numerics.world_size}, but {ranks} process(es) run; start with: "
            f"torchrun --nproc-per-node={numerics.world_size} -m pocketlm ..., or set numerics.world_size={ranks}"
        )
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(ranks)))
    if numerics.device == "cuda" and torch.cuda.device_count() < local:
        raise ConfigError(
            f"numerics.world_size={numerics.world_size}: {local} processes here, but this machine has "
            f"{torch.cuda.device_count()} GPU(s); set numerics.world_size to that number, or add machines"
        )


def alone(numerics: Numerics) -> Numerics:
    """The numerics of a stage that is always a single process, whatever the trainings have."""
    return replace(numerics, world_size=1, parallel="ddp")


def rank() -> int:
    """This process's number under torchrun; 0 alone."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """This process's number on its node, as torchrun says."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def apply(numerics: Numerics) -> Runtime:
    """Set threads, determinism, device and process group for this process; safe to call more than once.

    Raises ConfigError where the machine cannot honour ``numerics``.
    """
    import torch

    check(numerics)
    keep_memory()
    torch.set_num_threads(numerics.threads)
    if numerics.compile:
        keep_compiled()
        torch.use_deterministic_algorithms(True)
    else:  # what the public function sets, without its import of the compiler (seconds in every job)
        torch._C._set_deterministic_algorithms(True)
    # else every new tensor is written once more; mypy does not see the property
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_flush_denormal(True)  # tiny second moments of rare tokens would slow AdamW down a hundredfold
    torch.set_float32_matmul_precision("highest")
    device = torch.device("cpu")
    if numerics.device == "cuda":
        device = torch.device("cuda", local_rank())
        torch.cuda.set_device(device)
    if numerics.world_size > 1 and not torch.distributed.is_initialized():
        # gloo in any case: hosts agree on interrupts and checkpoints without waiting for a device
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return Runtime(device, numerics.precision == "bf16", numerics.compile, rank(), numerics.world_size)


def keep_memory() -> None:
    """Let glibc's allocator keep what a step frees: else each large tensor of each step is mapped and zeroed anew.

    Does nothing under another C library.
    """
    import ctypes

    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    for option, value in ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, (1 << 31) - 1)):
        if libc is not None and hasattr(libc, "mallopt"):
            libc.mallopt(option, value)


def keep_compiled() -> None:
    """Share compiled code between models and runs: in the user's cache, or where TORCHINDUCTOR_CACHE_DIR says.

    The compiler's cache is keyed by graph, versions and instruction set, so that it never changes a result.
    """
    from pocketlm.data.mirror import cache_folder

    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))


def peak_flops(runtime: Runtime) -> float | None:
    """Dense matrix peak of this process's device in FLOP/s: by name on a GPU, measured in some 50 ms on a CPU.

    None for a GPU that is not in the table: no MFU is better than one against the wrong peak.
    """
    import time

    import torch

    if runtime.device.type == "cuda":
        name = torch.cuda.get_device_name(runtime.device)
        return next((peak for key, peak in PEAK_BF16.items() if key in name), None) if runtime.bf16 else None
    dtype = torch.bfloat16 if runtime.bf16 else torch.float32
    left, right = torch.full((512, 512), 0.5, dtype=dtype), torch.full((512, 512), 0.5, dtype=dtype)
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - began)
    return 2 * 512**3 / best
