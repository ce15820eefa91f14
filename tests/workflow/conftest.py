"""Helpers of this folder are importable by name; one finished stub run is shared by the tests that only look at it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose tiny recipe was run by its own command; a test that changes it copies it."""
    from stub import command, copy_project

    folder = copy_project(tmp_path_factory.mktemp("recorded") / "project", stubbed=True)
    command(folder, "pocketlm", "compose", "recipe=tiny")
    out = command(folder, "pocketlm", "run", "-j2")
    assert out.strip().splitlines()[-1] == "pocketlm run: recorded 38 stages; Snakemake and DVC have nothing to do"
    return folder
