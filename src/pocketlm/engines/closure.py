"""What a stage's result depends on in code: the import closure of its module, and the libraries that it calls.

The closure is read from the syntax tree, imports inside functions included; nothing is imported, so that a Snakefile
may ask for it at parse time. It becomes one small file a stage (code_files.py), an input of the
stage's jobs in both engines: the hash of each module's syntax tree without comments and docstrings, of each template
of its packages, and the pinned versions of the libraries. So an edited formula makes exactly its stages stale, an
edited docstring none, and an upgraded library those that call it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from pocketlm.artifacts import sha256, write_text
from pocketlm.cli import STAGES

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]
# These decide what is accepted or shown, never what is computed: params.yaml is complete, so that no default of the
# schema reaches a result. The package itself holds its version and registers its models for others.
NAMES = ("", ".cli", ".config", ".allowed", ".typed", ".progress", ".stages")
FILES = [path for room in ("schema", "checks") for path in sorted((PACKAGE / room).glob("*.py"))]
ROOMS = [f".{path.parent.name}" if path.stem == "__init__" else f".{path.parent.name}.{path.stem}" for path in FILES]
NEUTRAL = {f"pocketlm{name}" for name in (*NAMES, *ROOMS)}
MEMORY = Path(".snakemake") / "pocketlm_code.json"
fresh: list[str] = []
DISTRIBUTIONS = {"yaml": "PyYAML", "lm_eval": "lm-eval", "hydra": "hydra-core"}


@functools.cache
def module_file(module: str) -> Path | None:
    """The source file of a module or package of ours; None for any other name."""
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return None
    base = PACKAGE.joinpath(*parts[1:])
    candidates = (base / "__init__.py", base.with_suffix(".py")) if parts[1:] else (base / "__init__.py",)
    return next((path for path in candidates if path.is_file()), None)


def imports(tree: ast.Module, package: list[str]) -> list[str]:
    """Names of all modules that a file imports anywhere, and ``from x import y`` as ``x`` and ``x.y``."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    return sorted(names)


@functools.cache
def known() -> dict[str, Any]:
    """Analyses of sources by content, kept between runs: every job parses the Snakefile, and with it this."""
    try:
        return dict(json.loads(MEMORY.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


@functools.cache
def analyse(module: str, path: Path) -> dict[str, Any]:
    """``{"imports": names, "meaning": hash of the syntax tree without comments and docstrings}`` of a module."""
    content = path.read_bytes()
    key = f"{module} {hashlib.sha256(content).hexdigest()}"
    if key not in known():
        tree = ast.parse(content, str(path))
        package = (module if path.name == "__init__.py" else module.rpartition(".")[0]).split(".")
        found: list[str] = []
        words(tree, found)
        meaning = hashlib.sha256("\n".join(found).encode()).hexdigest()
        known()[key] = {"imports": imports(tree, package), "meaning": meaning}
        fresh.append(key)
    return dict(known()[key])


def remember() -> None:
    """Keep new analyses for the next run."""
    if fresh:
        write_text(MEMORY, json.dumps(known()))
        fresh.clear()


@functools.cache
def modules(stage: str) -> tuple[dict[str, Path], frozenset[str]]:
    """({our module: file}, other top-level modules) that a stage reaches."""
    found: dict[str, Path] = {}
    others: set[str] = set()
    queue = [STAGES[stage].module]
    while queue:
        module = queue.pop()
        path = module_file(module)
        if path is None:
            others.add(module.partition(".")[0])
        elif module not in found and module not in NEUTRAL:
            found[module] = path
            queue.extend(analyse(module, path)["imports"])
            queue.extend(module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1))  # packages' __init__
    return found, frozenset(others - {PACKAGE.name})


def words(node: Any, into: list[str]) -> None:
    """Append a syntax tree as words: no positions, docstrings or empty fields (which differ between Pythons)."""
    if isinstance(node, ast.AST):
        into.append(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if name == "body" and isinstance(value, list) and value and is_docstring(value[0]):
                value = value[1:]
            if value is not None and value != [] and name != "ctx":
                into.append(name)
                words(value, into)
        into.append(")")
    elif isinstance(node, list):
        for item in node:
            words(item, into)
    else:
        into.append(repr(node))


def is_docstring(node: Any) -> bool:
    """Whether a statement is a bare string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def templates(package: Path) -> list[Path]:
    """Files of a package folder that are not Python."""
    files = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path for path in files if path.suffix not in (".py", ".pyc"))


@functools.cache
def pins() -> dict[str, str]:
    """{normalised distribution name: version} of ``requirements.txt``."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pairs = (re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in lines)
    return {pair[1].lower().replace("_", "-"): pair[2] for pair in pairs if pair}


def libraries(stage: str) -> dict[str, str]:
    """{library: pinned version} that a stage's closure imports directly."""
    _, others = modules(stage)
    names = {DISTRIBUTIONS.get(name, name) for name in others if name not in sys.stdlib_module_names}
    versions = {name: pins().get(name.lower().replace("_", "-")) for name in names}
    return {name: version for name, version in sorted(versions.items()) if version}


def fingerprint(stage: str) -> dict[str, Any]:
    """What a stage's results depend on in code, as plain data."""
    found, _ = modules(stage)
    folders = {path.parent for path in found.values()} - {PACKAGE, PACKAGE / "stages"}
    files = {path for folder in folders for path in templates(folder)}
    return {
        "libraries": libraries(stage),
        "modules": {module: analyse(module, path)["meaning"] for module, path in found.items()},
        "templates": {path.relative_to(PACKAGE).as_posix(): sha256(path) for path in files},
    }
