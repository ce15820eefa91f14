"""Folders in variables mean what they meant where the command was typed, although jobs run in the run folder."""

import shutil
from pathlib import Path

import pytest
from stub import command, copy_project

from pocketlm.engines import variables

pytestmark = pytest.mark.timeout(300)
TYPED = "export POCKETLM_MIRROR=../data POCKETLM_CACHE=cache; "
SEE = """    import os
    from pocketlm.data import mirror

    places = {"mirror": str(mirror.mirror_folder()), "cache": str(mirror.cache_folder())}
    Path("seen.json").write_text(canonical(places))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stub project with a run folder, whose download notes the folders that it would use."""
    folder = copy_project(tmp_path_factory.mktemp("variables") / "project", stubbed=True)
    stage = folder / "src/pocketlm/stages/download.py"
    stage.write_text(stage.read_text().replace("def run(args):\n", f"def run(args):\n{SEE}"))
    command(folder, "pocketlm", "compose", "recipe=tiny", "--into", "runs/tiny")
    command(folder, "pocketlm", "dvc", "runs/tiny")
    (folder.parent / "data").mkdir()
    (folder / "cache").mkdir()
    return folder


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param("snakemake --directory runs/tiny -j1 -- results/data/world", marks=pytest.mark.full),
        "dvc repro runs/tiny/dvc.yaml:download-world",
        pytest.param("pocketlm run runs/tiny -j1 -- results/data/world", marks=pytest.mark.full),
    ],
)
def test_relative_to_where_the_command_was_typed(project: Path, typed: str) -> None:
    from pocketlm.artifacts import read_json

    seen = project / "runs/tiny/seen.json"
    seen.unlink(missing_ok=True)
    shutil.rmtree(project / "runs/tiny/results/data", ignore_errors=True)
    command(project, "bash", "-c", TYPED + typed)
    assert read_json(seen) == {"mirror": str(project.parent / "data"), "cache": str(project / "cache")}


def test_which_folder_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was typed comes first; what exists nowhere is named there; an absolute folder stays."""
    (tmp_path / "typed").mkdir()
    (tmp_path / "root/data").mkdir(parents=True)
    monkeypatch.setenv("PWD", str(tmp_path / "typed"))

    def absolute(given: str) -> str:
        monkeypatch.setenv("POCKETLM_MIRROR", given)
        monkeypatch.delenv("POCKETLM_CACHE", raising=False)
        variables.make_absolute(tmp_path / "root")
        assert "POCKETLM_CACHE" not in variables.os.environ
        return variables.os.environ["POCKETLM_MIRROR"]

    assert absolute("data") == str(tmp_path / "root/data")
    (tmp_path / "typed/data").mkdir()
    assert absolute("data") == str(tmp_path / "typed/data")
    assert absolute("nowhere") == str(tmp_path / "typed/nowhere")
    assert absolute("/nowhere") == "/nowhere"
