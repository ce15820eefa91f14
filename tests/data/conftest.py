"""Fixtures of the data tests: a small tokenizer, and an environment without mirror and with a cache of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_texts import TEXTS

from pocketlm.data import tokenizer as tokenizers_room
from pocketlm.data.chat import Chat


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("POCKETLM_MIRROR", raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizers_room.save(tokenizers_room.train(TEXTS, 300, True, "small"), folder, {})
    return folder


@pytest.fixture(scope="session")
def chat(tokenizer_folder: Path) -> Chat:
    return Chat(tokenizer_folder)
