"""Loads ``params.yaml``, the only configuration that Snakemake, DVC and the stages read.

``pocketlm compose`` writes it; every stage validates it again here, because ``dvc exp run -S`` edits it directly.
What a key is stands in ``schema``, which values are possible in ``checks``. It imports nothing heavy.
"""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from pocketlm import schema
from pocketlm.schema import *  # noqa: F403 - every entry of params.yaml is a name of this module too
from pocketlm.schema import Params

__all__ = ["ConfigError", "as_dict", "load", "parse"]
__all__ += schema.__all__


class ConfigError(ValueError):
    """A value in the configuration that cannot work: one line that names file, key and remedy."""


def as_dict(section: Any) -> dict[str, Any]:
    """The plain dictionary of a dataclass."""
    return dataclasses.asdict(section)


def parse(data: dict[str, Any], name: str = "params.yaml") -> Params:
    """The validated parameters of a plain dictionary.

    Raises ConfigError naming file, key and remedy for an unknown or absent key, a wrong type or an impossible value.
    """
    from pocketlm.checks import check
    from pocketlm.typed import Absent, Refused, build

    try:
        params: Params = build(Params, data)
    except Absent as error:
        key, problem = error.args
        raise ConfigError(f"{name}: {key}: {problem}; add it, or write the file again: {again(data, name)}") from None
    except Refused as error:
        raise ConfigError(f"{name}: {error.args[0]}: {error.args[1]} (keys: pocketlm/schema)") from None
    check(params, name)
    return params


def again(data: dict[str, Any], name: str) -> str:
    """The command that composes a params.yaml of this name anew."""
    values = [f"recipe={data.get('_recipe') or 'NAME'}", *map(str, data.get("_overrides") or [])]
    return shlex.join(["pocketlm", "compose", *values, "--into", str(Path(name).resolve().parent)])


def load(path: str | Path) -> Params:
    """Read and validate ``params.yaml``."""
    import yaml

    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; write one with: pocketlm compose recipe=demo")
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return parse(data, str(path))
