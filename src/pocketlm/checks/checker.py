"""What every check of ``params.yaml`` needs: the parameters, and one way to refuse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Never

from pocketlm.config import ConfigError, Params


class Checker:
    """The parameters and the name of their file; the first impossible value raises ConfigError."""

    def __init__(self, params: Params, name: str) -> None:
        self.params, self.name = params, name

    def refuse(self, key: str, problem: str) -> Never:
        """Stop with one line."""
        raise ConfigError(f"{self.name}: {key}: {problem}")

    def known(self, key: str, value: str | None, among: Iterable[str], what: str) -> None:
        """Refuse a reference to an entry that is not there."""
        names = sorted(among)
        if value not in names:
            self.refuse(key, f"no {what} {value!r}; there are: {', '.join(names) or 'none'}")
