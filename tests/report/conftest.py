"""A whole fake run with its report, made once."""

from __future__ import annotations

from pathlib import Path

import fake_run
import pytest
from fake_run import run

from pocketlm.stages import report


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A whole fake run with its report."""
    folder = tmp_path_factory.mktemp("run")
    arguments = fake_run.make(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(report, arguments)
    return folder
