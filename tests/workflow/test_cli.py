"""The command line: immediate help, one-line errors, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from pocketlm import cli, config

HEAVY = ("torch", "transformers", "lm_eval", "numpy", "snakemake", "dvc", "hydra", "omegaconf", "yaml")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from pocketlm.cli import main; main(['--help']); print('HEAVY', *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.partition("HEAVY")[2].split()
    assert not set(HEAVY) & set(loaded)
    for name in cli.STAGES | cli.COMMANDS:
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize("name", [*cli.STAGES, *cli.COMMANDS])
def test_every_command_teaches(name: str) -> None:
    """Help of each command works, and needs no torch."""
    code = f"import sys; from pocketlm.cli import main\ntry: main([{name!r}, '--help'])\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: pocketlm" in done.stdout


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pretarin"]) == 2
    assert "no command 'pretarin'" in capsys.readouterr().err


def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status = cli.main(["download", "--entry", "world", "--out", "a", "--manifest", "a.manifest.json"])
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith("pocketlm download world: params.yaml: no such file; write one with: pocketlm compose")
    assert error.count("\n") == 1
    assert cli.main(["record"]) == 1
    assert "pocketlm record: ./params.yaml: no such file" in capsys.readouterr().err.replace(
        "pocketlm record: params", "pocketlm record: ./params"
    )


def test_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "execute", interrupt)
    assert cli.main(["pretrain", "--entry", "a0"]) == 130
    assert capsys.readouterr().err.startswith("pocketlm pretrain a0: interrupted")


def test_overrides_may_stand_behind_an_option(tmp_path: Path) -> None:
    """``pocketlm compose recipe=R --into DIR key=value``, as README and documents write it."""
    assert cli.main(["compose", "recipe=tiny", "--into", str(tmp_path / "run"), "models.mobilellm.seed=7"]) == 0
    assert config.load(tmp_path / "run" / "params.yaml").models["mobilellm"].seed == 7
