"""How a training of several processes is started, and what the cluster profiles say; no scheduler needed."""

import logging
import socket
from pathlib import Path

import pytest
import yaml
from stub import STAGES

from pocketlm.config import ConfigError
from pocketlm.engines.launch import command
from pocketlm.engines.scheduler_words import listen

ROOT = Path(__file__).resolve().parents[2]


def test_one_node_is_standalone() -> None:
    words = command(4, [], None, ["pretrain", "--entry", "a0"])
    torchrun = "torchrun --standalone --nproc-per-node=4 --module pocketlm pretrain --entry a0"
    assert words == torchrun.split()
    assert command(4, ["n1"], "7", ["pretrain", "--entry", "a0"]) == words


def test_nodes_share_the_ranks_and_meet_at_the_first() -> None:
    words = command(4, ["n1", "n2"], "12345", ["pretrain"])
    assert words[:4] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
    assert {"--nnodes=2", "--nproc-per-node=2", f"--rdzv-endpoint={socket.gethostname()}:22345"} <= set(words)


def test_ranks_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match="world_size=3 does not divide over 2 nodes"):
        command(3, ["n1", "n2"], "1", ["pretrain"])


def test_slurm_profile_gives_every_stage_memory_and_time() -> None:
    """``--default-resources`` is the user's, for account and partition, so that no stage may rely on it."""
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    assert "default-resources" not in profile
    assert profile["set-resources"].keys() == STAGES.keys()
    for stage, wanted in profile["set-resources"].items():
        assert {"mem_mb", "runtime"} <= wanted.keys(), stage
        assert all("* attempt" in wanted[name] for name in ("mem_mb", "runtime")), stage


def test_schedulers_words_are_printed_and_local_errors_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.Logger("snakemake")
    listen(logger)
    listen(logger)
    logger.error("x", extra={"rule_name": "call", "rule_msg": None, "log": []})
    assert capsys.readouterr().err == ""
    logger.error("x", extra={"rule_name": "call", "rule_msg": "Slurm: TIMEOUT", "log": ["a.log"]})
    assert capsys.readouterr().err == "call: Slurm: TIMEOUT\nlogs: a.log\n"
