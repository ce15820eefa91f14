"""A stage's code file: complete, stable under cosmetic edits, changed by a formula."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pocketlm.artifacts import ArtifactError
from pocketlm.cli import STAGES
from pocketlm.engines import closure, code_files, lock

SNIPPET = '"""Doc."""\n\n\ndef f(x):\n    """Doc."""\n    return 2 * x  # why\n'


def meaning(text: str) -> list[str]:
    found: list[str] = []
    closure.words(ast.parse(text), found)
    return found


def test_cosmetic_edits_mean_the_same() -> None:
    edited = '"""Other."""\ndef f(x):\n    # no reason\n    return 2*x\n'
    assert meaning(SNIPPET) == meaning(edited)


@pytest.mark.parametrize(
    "old, new", [("2 * x", "3 * x"), ("2 * x", "2 + x"), ("def f(x)", "def f(x, y=1)"), ("2", "2.0")]
)
def test_other_edits_do_not(old: str, new: str) -> None:
    assert meaning(SNIPPET) != meaning(SNIPPET.replace(old, new))


def test_relative_and_lazy_imports_are_seen() -> None:
    text = "import os.path\ndef f():\n    from . import a\n    from ..b import c\n    import pocketlm.d as d\n"
    found = closure.imports(ast.parse(text), ["pocketlm", "room"])
    assert {"os.path", "pocketlm.room.a", "pocketlm.b.c", "pocketlm.b", "pocketlm.d"} <= set(found)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_closure(stage: str) -> None:
    found, _ = closure.modules(stage)
    assert STAGES[stage].module in found
    assert not set(found) & closure.NEUTRAL


def test_closures_are_exact() -> None:
    """Training changes with the optimizer and not with the report; the report needs no torch."""
    pretrain, report = closure.fingerprint("pretrain"), closure.fingerprint("report")
    assert any(name.startswith("pocketlm.training.") for name in pretrain["modules"])
    assert not any(name.startswith(("pocketlm.report", "pocketlm.scoring")) for name in pretrain["modules"])
    assert not any(name.startswith(("pocketlm.training", "pocketlm.model")) for name in report["modules"])
    assert pretrain["libraries"]["torch"].startswith("2.13")
    assert "torch" not in report["libraries"]
    assert any(name.endswith(".css") for name in report["templates"])


def test_foreign_layouts_concern_those_who_read_them() -> None:
    """An edit of them makes no training stale: only importing reads foreign weights, and profiling foreign shapes."""

    def reach(module: str) -> set[str]:
        return {stage for stage in STAGES if module in closure.modules(stage)[0]}

    assert reach("pocketlm.model.imports") == {"import"}
    assert reach("pocketlm.model.foreign") == reach("pocketlm.model.foreign_keys") == {"import", "profile"}


def test_closure_covers_what_is_imported() -> None:
    """Against Python itself: what importing a stage's module loads of ours is in its closure."""
    for stage in ("pretrain", "report", "score"):
        module = STAGES[stage].module
        code = f"import sys, {module}; print(*[m for m in sys.modules if m.startswith('pocketlm')])"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert set(loaded) - closure.NEUTRAL <= set(closure.modules(stage)[0])


def test_unchanged_code_file_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").touch()
    code_files.refresh(["report"])
    path = tmp_path / code_files.code("report")
    before = path.stat().st_mtime_ns
    code_files.refresh(["report"])
    assert path.stat().st_mtime_ns == before


def test_not_written_beside_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside another process not, inside this one's own work yes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").touch()
    hold = "import sys, time; from pathlib import Path; from pocketlm.engines import lock\n"
    hold += "with lock.alone(Path('.'), 'other'):\n    print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(ArtifactError, match=rf"other \(process {other.pid}\) is at work"):
            code_files.refresh(["report"])
        assert not (tmp_path / "results").exists()
        assert other.stdin
        other.stdin.close()
    with lock.alone(tmp_path, "this"):
        code_files.refresh(["report"])
    assert (tmp_path / code_files.code("report")).is_file()
