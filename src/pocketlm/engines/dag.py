"""Snakemake's DAG of a run folder, read through its API. The only module that touches private parts of Snakemake.

Private: ``_workflow``, ``_prepare_dag``, ``_build_dag``, ``persistence`` (``finished``, ``started``, ``metadata``,
``input_checksums``, ``_write_record``), ``iocache``, ``dag.needrun``; snakemake is pinned for that reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, check_manifest
from pocketlm.engines.closure import ROOT

LARGE = 1 << 50  # checksum files of any size, as the default profile does
CLOCK = 0.01  # seconds: coarser file systems, and times kept as decimal text


@dataclass(frozen=True)
class Job:
    """One Snakemake job, as both engines see it."""

    name: str  # the DVC stage: rule and wildcards, joined by "-"
    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    folders: frozenset[str]  # outputs that are folders
    keys: tuple[str, ...]  # dotted params.yaml keys
    shell: str  # hash of the shell command
    needed: bool  # Snakemake would run it
    reason: str


def stage_name(rule: str, wildcards: dict[str, str]) -> str:
    """``pretrain-a0``, ``trial-0-3``: the name of a job's DVC stage."""
    return "-".join([rule, *wildcards.values()])


def describe(job: Any, dag: Any) -> Job:
    """A Snakemake job in our words."""
    return Job(
        name=stage_name(job.rule.name, dict(job.wildcards.items())),
        rule=job.rule.name,
        inputs=tuple(str(path) for path in job.input),
        outputs=tuple(str(path) for path in job.output),
        folders=frozenset(str(path) for path in job.output if path.is_directory),
        keys=tuple((job.params.get("cfg") or {}).keys()),
        shell=hashlib.sha256((job.rule.shellcmd or "").encode()).hexdigest()[:12],
        needed=bool(dag.needrun(job)),
        reason=" ".join(str(dag.reason(job)).split()),
    )


def clock(path: Any) -> Path:
    """The file whose time Snakemake takes for an output's."""
    return Path(path) / ".snakemake_timestamp" if path.is_directory else Path(path)


def files(path: Any) -> list[Path]:
    """The files of an output."""
    return [member for member in Path(path).rglob("*") if member.is_file()] if path.is_directory else [Path(path)]


class Dag:
    """The jobs of a run folder in topological order."""

    def __init__(self, workflow: Any) -> None:
        self.workflow = workflow
        levels = [sorted(level, key=lambda job: list(job.output)) for level in workflow.dag.toposorted()]
        raw = [job for level in levels for job in level if not job.rule.norun]
        self.jobs = [describe(job, workflow.dag) for job in raw]
        self.raw = {job.name: own for job, own in zip(self.jobs, raw)}

    def touch(self, name: str, time: float) -> None:
        """Give all files of a job's outputs this time (seconds): Snakemake compares it, and DVC reads them anew."""
        for path in self.raw[name].output:
            if path.is_directory:
                clock(path).touch()
            for member in [Path(path), *files(path)]:
                os.utime(member, (time, time))

    def mark_finished(self, name: str, time: float | None = None) -> None:
        """Write Snakemake's metadata of a job as if it had just made its outputs, at ``time`` (seconds) if given."""
        if time is not None:
            self.touch(name, time)
        for path in self.raw[name].output:
            self.workflow.iocache.mtime.pop(path, None)  # else the metadata gets the time before
        self.workflow.async_run(self.workflow.persistence.finished(self.raw[name]))

    def note_times(self, name: str) -> None:
        """Let Snakemake's metadata of a job name its outputs' times of now: DVC's commit writes each file again."""
        for path in self.raw[name].output:
            if path.is_directory:
                clock(path).touch()
            record = self.workflow.persistence.metadata(path)
            record.endtime = os.lstat(clock(path)).st_mtime
            self.workflow.persistence._write_record(str(path), record)

    def known(self, name: str) -> bool:
        """Whether Snakemake's metadata is about the outputs that are there: nothing wrote to them since."""
        return all(self.is_known(path) for path in self.raw[name].output)

    def is_known(self, path: Any) -> bool:
        """Whether an output has metadata, and of its own time; in a folder nothing may be newer."""
        record = self.workflow.persistence.metadata(path)
        if not record or not record.endtime or not clock(path).exists():
            return False
        late = [os.lstat(member).st_mtime - record.endtime for member in files(path)]
        return abs(os.lstat(clock(path)).st_mtime - record.endtime) <= CLOCK and max(late) <= CLOCK

    def read_these(self, name: str) -> bool:
        """Whether a job's inputs have the bytes that it read, as far as Snakemake noted that; times tell less."""
        for path in self.raw[name].input:
            noted = self.workflow.persistence.input_checksums(self.raw[name], path) - {None}
            if noted and noted != {self.workflow.async_run(path.checksum(LARGE))}:
                return False
        return True

    def edited(self, name: str, among: Container[str]) -> list[str]:
        """Outputs of a job, ``among`` those with other bytes than recorded, that were not made so by Snakemake."""
        return [str(path) for path in self.raw[name].output if path in among and self.was_edited(path)]

    def was_edited(self, path: Any) -> bool:
        """A folder's bytes tell, and a file's time: Snakemake noted that of what it made."""
        if path.is_directory:
            try:
                check_manifest(path, f"{path}.manifest.json")
            except ArtifactError:
                return True
            return False
        record = self.workflow.persistence.metadata(path)
        made = record and record.endtime
        return bool(made) and abs(os.lstat(path).st_mtime - made) > CLOCK

    def mark_unfinished(self, name: str) -> None:
        """Let Snakemake make a job's outputs again."""
        self.workflow.persistence.started(self.raw[name])


def need_params(folder: Path) -> None:
    """Raise ArtifactError unless this is a run folder, and not one inside another checkout than this code's.

    An environment that two checkouts share has the code of one of them: the other's dvc.yaml would name its files.
    """
    if not (folder / "params.yaml").is_file():
        raise ArtifactError(f"{folder}/params.yaml: no such file; write it with: pocketlm compose recipe=demo")
    whole = folder.resolve()
    inside = (place for place in (whole, *whole.parents) if (place / "src/pocketlm/cli.py").is_file())
    checkout = next(inside, ROOT)
    if checkout != ROOT:
        raise ArtifactError(
            f"{folder}: is a run folder of the checkout {checkout}, but this pocketlm is that of {ROOT}; "
            f"remedy: make -C {checkout} setup && source {checkout}/.venv/bin/activate"
        )


@contextlib.contextmanager
def open_dag(folder: Path) -> Iterator[Dag]:
    """The DAG of a run folder; the working directory is the run folder inside the block."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings import types as settings

    need_params(folder)
    before = Path.cwd()
    os.environ.setdefault("POCKETLM_QUIET", "1")
    quiet = settings.OutputSettings(quiet={settings.Quietness.ALL}, enable_file_logging=False)
    try:
        with SnakemakeApi(quiet) as api:
            workflow_api = api.workflow(
                resource_settings=settings.ResourceSettings(cores=os.cpu_count() or 1),
                snakefile=ROOT / "Snakefile",
                workdir=folder.resolve(),
            )
            dag_api = workflow_api.dag(
                dag_settings=settings.DAGSettings(max_checksum_file_size=LARGE, force_incomplete=True)
            )
            workflow = dag_api.workflow_api._workflow
            workflow.execution_settings = settings.ExecutionSettings(lock=False)
            workflow._prepare_dag(forceall=False, ignore_incomplete=False, lock_warn_only=True, nolock=True)
            workflow._build_dag()
            os.chdir(folder if folder.is_absolute() else before / folder)
            yield Dag(workflow)
    finally:
        os.chdir(before)
