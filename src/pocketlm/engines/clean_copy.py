"""The clean copy in which ``pocketlm verify`` makes a run again.

It is filled beside its place and then renamed, so that it is there whole or not at all. A note in it says with what
it was begun: an interrupted verification goes on only with the same, or it would certify what was made otherwise.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, digest, read_json, sha256, write_json
from pocketlm.config import ConfigError
from pocketlm.engines import certificate
from pocketlm.engines.dag import Job, open_dag

NOTE = ".pocketlm-verify.json"


def about(folder: Path, jobs: list[Job], rerun: set[str], proof: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What a verification depends on, for the note: certificate, stages, code and environment."""
    code = sorted({path for job in jobs for path in job.inputs if path.startswith("results/code/")})
    return {
        "parameters": proof["params"],
        "artefacts": digest(proof["artefacts"]),
        "facts": digest(proof["facts"]),
        "stages": sorted(rerun),
        "code": digest({path: sha256(folder / path) for path in code}),
        "environment": now,
    }


def begin(folder: Path, copy: Path, jobs: list[Job], rerun: set[str], facts: dict[str, Any], note: Any) -> None:
    """Fill the clean copy, or go on with one that was begun with the same note. Raises ConfigError for any other."""
    if (copy / NOTE).is_file():
        check(copy, note)
        return
    if copy.exists() and not (copy.is_dir() and not any(copy.iterdir())):
        raise ConfigError(f"--into {copy}: is not empty, and no copy of pocketlm verify; name another folder")
    partial = copy.with_name(f".{copy.name}.pocketlm-verify")
    shutil.rmtree(partial, ignore_errors=True)  # of a start that was killed
    fill(folder, partial, jobs, rerun, facts)
    write_json(partial / NOTE, note)
    os.replace(partial, copy)


def check(copy: Path, note: dict[str, Any]) -> None:
    """Raise ConfigError unless this copy is an unfinished one of the same verification."""
    before = read_json(copy / NOTE)
    remedy = "remove it, or name another folder with --into"
    if before.get("finished"):
        raise ConfigError(f"{copy}: this verification is finished, and nothing would be made again; {remedy}")
    other = [key for key in note if before.get(key) != note[key]]
    if other:
        raise ConfigError(f"{copy}: was begun with other {', '.join(other)}; {remedy}")


def finish(copy: Path) -> None:
    """Note that everything was made: the copy is not to be used again."""
    write_json(copy / NOTE, read_json(copy / NOTE) | {"finished": True})


def fill(folder: Path, copy: Path, jobs: list[Job], rerun: set[str], facts: dict[str, Any]) -> None:
    """Place parameters and what is not made again, which becomes up to date in Snakemake's eyes."""
    copy.mkdir(parents=True)
    shutil.copyfile(folder / "params.yaml", copy / "params.yaml")
    kept = [job for job in jobs if job.name not in rerun]
    for job in kept:
        for path in job.outputs:
            place(folder / path, copy / path, facts.get(path))
    with open_dag(copy) as dag:
        for position, job in enumerate(kept):
            dag.mark_finished(job.name, time.time() - len(kept) + position)


def place(source: Path, target: Path, fact: Any) -> None:
    """Put one artefact into the copy: a fact from the certificate, anything else from the run folder."""
    if fact is not None:
        write_json(target, fact)
    elif source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    else:
        raise ArtifactError(f"{source}: is not there, and is not made again; restore it first: dvc pull")


def check_kept(folder: Path, jobs: list[Job], rerun: set[str], proof: dict[str, Any]) -> None:
    """Raise ArtifactError where an artefact that is not made again is not the certificate's.

    Whatever is made from it would differ too, and be blamed for it.
    """
    for job in jobs:
        for path in job.outputs if job.name not in rerun and job.rule not in certificate.FACT_RULES else ():
            if (folder / path).exists() and certificate.path_hash(folder / path) != proof["artefacts"].get(path):
                raise ArtifactError(
                    f"{folder / path}: is not the certificate's, and is not made again; first stage that differs: "
                    f"{job.name}; restore it: dvc pull, or make it again too: verify --from {job.name}"
                )
