import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import llama_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tied Llama folder made by transformers."""
    return llama_folder.make(tmp_path_factory.mktemp("models") / "call")


@pytest.fixture(scope="session")
def untied(tmp_path_factory):
    """An untied one whose FFN width 32 does not divide."""
    return llama_folder.make(tmp_path_factory.mktemp("models") / "untied", seed=1, tied=False, d_ff=176)
