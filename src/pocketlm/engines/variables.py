"""Folders that variables name, made absolute once: jobs run in the run folder, not where the user typed the command.

``POCKETLM_MIRROR=../data snakemake --directory runs/x`` means ``../data`` of the folder where it was typed. Snakemake
changes its directory before it reads the Snakefile, but leaves the shell's ``PWD`` as it was. ``dvc repro`` starts a
shell in the run folder, whose ``PWD`` says nothing more; there the repository's root is tried too.
"""

from __future__ import annotations

import os
from pathlib import Path

NAMES = ("POCKETLM_MIRROR", "POCKETLM_CACHE")


def make_absolute(root: Path) -> None:
    """Replace relative folders in the environment by absolute ones, of this process and those that it starts.

    The first of these that exists: below the shell's folder, the current one, ``root``. If none does, the first of
    them is meant: a cache is made there, a mirror is named by its error.
    """
    for name in NAMES:
        given = Path(os.environ.get(name) or "/").expanduser()
        if not given.is_absolute():
            places = [base / given for base in (Path(os.environ.get("PWD") or "."), Path.cwd(), root)]
            found = next((place for place in places if place.is_dir()), places[0])
            os.environ[name] = str(found.resolve())
