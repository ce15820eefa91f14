"""What a machine cannot honour is refused with the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pocketlm import numerics
from pocketlm.config import ConfigError, Numerics


def test_bf16_without_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "cpu_has_bf16", lambda: False)
    with pytest.raises(ConfigError, match="numerics.precision=bf16: .*set numerics.precision=fp32"):
        numerics.check(Numerics(precision="bf16"))
    monkeypatch.setattr(numerics, "cpu_has_bf16", lambda: True)
    numerics.check(Numerics(precision="bf16"))


def test_flags_of_a_cpu(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nflags\t\t: fpu avx2 avx512_bf16 amx_bf16\n")
    assert numerics.cpu_flags(info) & numerics.BF16_FLAGS == {"avx512_bf16", "amx_bf16"}
    info.write_text("processor : 0\nFeatures : fp asimd\n")
    assert not numerics.cpu_flags(info) & numerics.BF16_FLAGS
    assert numerics.cpu_flags(tmp_path / "none") == set()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"device": "tpu"}, "device=tpu: unknown device; use cpu or cuda"),
        ({"precision": "fp8"}, "precision=fp8: unknown precision"),
        ({"threads": 0}, "at least 1"),
        ({"parallel": "zero"}, "parallel=zero: unknown; use ddp or fsdp"),
        ({"world_size": 2}, "world_size=2, but 1 process.*torchrun --nproc-per-node=2"),
    ],
)
def test_impossible_values(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        numerics.check(Numerics(**wrong))  # type: ignore[arg-type]


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no usable GPU; set numerics.device=cpu"):
        numerics.check(Numerics(device="cuda"))


def test_fewer_gpus_than_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match=r"world_size=4: 4 processes here, but this machine has 2 GPU\(s\); set"):
        numerics.check(Numerics(device="cuda", world_size=4))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # two machines
    numerics.check(Numerics(device="cuda", world_size=4))


def test_compiling_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Refused before anything is trained, whether none is installed or CXX names one that is not there."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"compile=true: .* no (g|clang)\+\+ here; .*set numerics.compile=false"):
        numerics.check(Numerics(compile=True))
    numerics.check(Numerics())
    own = tmp_path / "own-c++"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("CXX", "own-c++")
    numerics.check(Numerics(compile=True))
    monkeypatch.setenv("CXX", "gone-c++")
    with pytest.raises(ConfigError, match=r"no gone-c\+\+ here"):
        numerics.check(Numerics(compile=True))


def test_other_stages_are_single_processes() -> None:
    """Whatever the trainings have; nothing else changes."""
    given = Numerics(threads=2, world_size=4, parallel="fsdp")
    numerics.check(numerics.alone(given))
    assert numerics.alone(given) == Numerics(threads=2)


def test_apply_is_deterministic_and_single_threaded() -> None:
    runtime = numerics.apply(Numerics())
    assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()
    assert runtime.device.type == "cpu" and not runtime.bf16
    assert (numerics.peak_flops(runtime) or 0) > 1e9
