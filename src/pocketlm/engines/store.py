"""DVC's view of a run folder, through its command line."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError


def dvc(folder: Path, *arguments: str) -> str:
    """Run ``dvc`` in a run folder; returns its stdout. Raises ArtifactError with DVC's own words."""
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
        raise ArtifactError(f"dvc {arguments[0]}: {words[:600]}")
    return done.stdout


def cache(folder: Path) -> Path:
    """The folder of the local cache."""
    return (folder / dvc(folder, "cache", "dir").strip()).resolve()


def status(folder: Path) -> dict[str, set[str]]:
    """{stage that DVC calls changed: those of its outputs whose bytes are not the recorded ones}."""
    found: dict[str, Any] = json.loads(dvc(folder, "status", "--json", "dvc.yaml") or "{}")
    return {address.rpartition(":")[2]: set(changed_outs(reasons)) for address, reasons in found.items()}


def changed_outs(reasons: list[Any]) -> Iterator[str]:
    """Paths among the reasons for which DVC calls a stage changed; some reasons are words."""
    for reason in reasons:
        if isinstance(reason, dict):
            yield from reason.get("changed outs", {})


def changed(folder: Path) -> set[str]:
    """Names of the stages of ``folder/dvc.yaml`` that DVC calls changed."""
    return set(status(folder))


def commit(folder: Path, names: list[str]) -> None:
    """Record stages of ``folder/dvc.yaml`` as they are: cache, lock, run-cache.

    As ``dvc commit -f`` does, which reads and writes the lock once for every stage that it is given; here it is read
    and written once. Raises ArtifactError with DVC's own words.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)
    before = Path.cwd()
    os.chdir(folder)
    try:
        with Repo() as repo, repo.lock:
            stages = [stage for stage in repo.stage.load_all("dvc.yaml") if stage.name in set(names)]
            for stage in stages:
                stage.save()
                stage.commit()
            if stages:
                stages[0].dvcfile.dump_stages(stages, update_pipeline=False)
    except DvcException as error:
        raise ArtifactError(f"dvc: {error}") from None
    finally:
        os.chdir(before)
