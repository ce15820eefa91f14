"""The training benchmark: its protocol with a contender that only talks, its page, and that it waits for the device."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import training
import training_contenders

TALKS = """
import sys, time
time.sleep(0.3); print("ready", flush=True)
time.sleep(0.6); print("step", flush=True)
while sys.stdin.readline() == "go\\n":
    time.sleep(0.2); print("step", flush=True)
print('{"peak_mib": 12.5, "device_peak_mib": null}', flush=True)
"""


def test_the_options_benchmark_starts() -> None:
    """It imports what it measures, and says how it is called."""
    import subprocess

    script = Path(training.__file__).parent / "options.py"
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "cost of the decoder's options" in done.stdout, done.stderr


def test_a_contender_is_timed_from_its_command(tmp_path: Path) -> None:
    one = training.Runner("ours", [sys.executable, "-c", TALKS], tmp_path / "log")
    assert one.start()
    assert 0.3 <= one.begins < one.first and one.first - one.begins >= 0.5
    assert one.step() >= 0.15
    one.stop()
    assert one.memory["peak_mib"] == 12.5
    broken = training.Runner("hf", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "log")
    assert not broken.start()


def test_a_step_is_done_when_the_device_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA queues work: to say "step" before it is done would make any MFU."""
    order: list[str] = []

    class Channel(io.StringIO):
        def write(self, text: str) -> int:
            order.append(text.strip())
            return len(text)

    monkeypatch.setattr(training_contenders, "CHANNEL", Channel())
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: order.append("done"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("go\n"))
    training_contenders.gate()
    assert order == ["done", "step"]


def figures(**changes: Any) -> dict[str, Any]:
    row = {"contender": "ours", "tok_s": 2685.0, "spread": 0.12, "mfu": 0.631, "peak_mib": 1192.0}
    row |= {"first_step_begins_s": 2.4, "first_step_ends_s": 3.1, "ours_is_faster_by": {"ours": 1.0}}
    about = {"shape": "350m", "batch": 8, "micro_batch": 2, "seq_len": 2048, "threads": 2, "device": "cuda", "steps": 5}
    about |= {"peak": 989e12, "machine": "NVIDIA H200, 140 GiB; some CPU", "date": "2026-11-30", "versions": "torch 2"}
    return about | {"commit": "0123456789ab-dirty", "command": "python ...", "rows": [row]} | changes


def test_the_page_says_where_and_of_what() -> None:
    text = training.page(figures())
    for said in ("2026-11-30", "NVIDIA H200", "0123456789ab-dirty", "989000 GFLOP/s", "8 x 2048 in micro-batches of 2"):
        assert said in text
    assert "n_layers 32, d_model 960" in text
    assert "| PocketLM, eager | 2685 | 12% | 63.1% | 1192 | 2.4 | 3.1 | 1.00 |  |" in text


def test_hardware_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class H200:
        total_memory = 140 * 2**30

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: H200)
    assert training.machine("cuda").startswith("NVIDIA H200, 140 GiB; ")
    assert "NVIDIA" not in training.machine("cpu")
