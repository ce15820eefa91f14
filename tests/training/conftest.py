"""The helpers of this room's tests are importable as ``tiny``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A process that has imported torch and forks trainings (``tiny.serve``)."""
    import tiny

    one = tiny.Server()
    yield one
    one.process.kill()
    one.process.wait()
