"""The fingerprint of a machine, waiting for quiet, interleaving: with hand-made systems."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pocketlm.config import ConfigError, Device
from pocketlm.profiling import device, measure, memory, quiet


def test_device_id_is_stable_and_tells_threads_and_precision_apart() -> None:
    entry = Device(threads=1)
    assert device.device_id(entry) == device.device_id(dataclasses.replace(entry))
    ids = {device.device_id(entry), device.device_id(Device(threads=2)), device.device_id(entry, "bf16")}
    assert len(ids) == 3
    # what is measured on the device does not change which device it is
    assert device.device_id(Device(threads=1, repeats=99, prompts=[7])) == device.device_id(entry)


def test_fingerprint_is_the_same_on_every_machine() -> None:
    parts = {"runtime": "torch", "cores": 2, "threads": 1, "cpu": "x", "versions": {"torch": "2"}}
    assert device.fingerprint(parts) == device.fingerprint(dict(reversed(parts.items()))) == "torch-2c-1t-1b8a48f7a6"


def test_cpu_model_of_x86_and_arm(tmp_path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n\nmodel name\t: other\n")
    assert device.cpu_model(info) == "AMD EPYC (25/1)"
    info.write_text("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n")
    assert device.cpu_model(info) == "arm 0x41 0xd0c"


def test_refusals_name_the_remedy() -> None:
    with pytest.raises(ConfigError, match="kind: local"):
        device.require_local("phone", Device(kind="adb"))
    with pytest.raises(ConfigError, match="lower threads"):
        device.require_local("local", Device(threads=10_000))
    with pytest.raises(ConfigError, match="torch, llamacpp"):
        device.versions("abacus")


def test_quiet_needs_two_calm_windows_and_is_bounded() -> None:
    busy, ticks = iter([2.0, 0.1, 0.9, 0.1, 0.0, 5.0]), iter(range(100))
    assert quiet.wait_quiet(60, lambda: next(busy), lambda: next(ticks)) == {
        "quiet": True,
        "waited_s": 5,
        "busy_cores": 0.0,
    }
    ticks = iter(range(100))
    assert quiet.wait_quiet(3, lambda: 2.0, lambda: next(ticks)) == {"quiet": False, "waited_s": 3, "busy_cores": 2.0}
    assert quiet.wait_quiet(3, lambda: None)["quiet"] is None


def test_busy_ticks_of_proc_stat(tmp_path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 1 5 100 7 0 2 3 0 0\ncpu0 5 1 3 50 4 0 1 1 0 0\ncpu1 5 0 2 50 3 0 1 2 0 0\nintr 5\n")
    assert quiet.busy_ticks(stat) == (21.0, 2)  # user, nice, system, softirq, steal; not idle, not iowait


def test_interleave_takes_turns_and_warms_up() -> None:
    calls: list[str] = []

    def task(name: str):
        return lambda: calls.append(name) or float(len(calls))

    samples = measure.interleave({"a": task("a"), "b": task("b")}, 3)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert [len(found) for found in samples.values()] == [3, 3]
    assert len(measure.interleave({"a": task("a")}, 50, limit_s=0.0)["a"]) == measure.LEAST_ROUNDS


def test_summary_against_numpy() -> None:
    samples = [0.004, 0.001, 0.003, 0.01, 0.002]
    low, middle, high = np.quantile(samples, [0.25, 0.5, 0.75])
    found = measure.summary(samples, tokens=32)
    assert found["ms_median"] == pytest.approx(1e3 * middle)
    assert found["ms_iqr"] == pytest.approx(1e3 * (high - low))
    assert found["tok_s"] == pytest.approx(32 / middle, rel=1e-5)


def test_energy_sums_packages_and_says_why_there_is_none(tmp_path) -> None:
    assert memory.energy_joules(tmp_path)[0] is None
    for zone, value in (("intel-rapl:0", 2_000_000), ("intel-rapl:1", 500_000), ("intel-rapl:0:0", 9_000_000)):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "energy_uj").write_text(str(value))
    assert memory.energy_joules(tmp_path) == (2.5, "")  # sub-zones are inside their package
