"""tools/setup.sh with Pythons that are stubs: which one it takes, and what it says where none will do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("requirements.txt", "requirements-dev.txt", "constraints.txt", "pyproject.toml", "tools/setup.sh")
NAMES = ("python3", "python3.11", "python3.12", "python3.13")
PYTHON = """#!/bin/sh
case "$*" in
    *version_info*) exit {supported} ;;
    *"import venv"*) exit {venv} ;;
    "-m venv"*) echo "$0 $*" >{called}; exit 77 ;;
esac
exit 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files that set-up reads, and no environment."""
    for name in NEEDED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    return tmp_path


def set_up(
    project: Path, venv: tuple[str, ...], supported: tuple[str, ...] = NAMES, **variables: str
) -> tuple[int, str]:
    """(exit status, standard error) where these Pythons are supported and those have venv; 77: one made the venv."""
    for name in NAMES:
        status = {"supported": int(name not in supported), "venv": int(name not in venv)}
        (project / "bin" / name).write_text(PYTHON.format(called=project / "called", **status))
        (project / "bin" / name).chmod(0o755)
    own = {"PATH": f"{project}/bin:{os.defpath}", "HOME": str(project), **variables}
    done = subprocess.run(["bash", project / "tools/setup.sh"], env=own, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize(("chosen", "package"), [("", "python3-venv"), ("python3.12", "python3.12-venv")])
def test_remedy_names_the_package_of_that_python(project: Path, chosen: str, package: str) -> None:
    status, said = set_up(project, venv=(), **({"PYTHON": chosen} if chosen else {}))
    assert (status, said) == (
        1, f"setup: {chosen or 'python3'} has no venv module; remedy: apt install {package}\n",
    )  # fmt: skip
    assert not (project / "called").exists()


def test_another_python_with_venv_is_taken(project: Path) -> None:
    assert set_up(project, venv=("python3.13",)) == (77, "")
    assert (project / "called").read_text() == f"{project}/bin/python3.13 -m venv .venv\n"


def test_no_supported_python(project: Path) -> None:
    status, said = set_up(project, venv=NAMES, supported=())
    assert (status, said.count("\n")) == (1, 1) and "no Python 3.11, 3.12 or 3.13 found; remedy: apt install" in said


def test_an_interrupted_environment_is_made_again(project: Path) -> None:
    """Ctrl-C while venv works leaves a python without pip."""
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").write_text("#!/bin/sh\nexit 1\n")
    (project / ".venv/bin/python").chmod(0o755)
    assert set_up(project, venv=("python3",)) == (77, "")
    assert (project / "called").read_text() == f"{project}/bin/python3 -m venv .venv\n"
