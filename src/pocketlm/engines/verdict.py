"""Identical, within tolerance, or different: the comparison of a rerun with a certificate, artefact by artefact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketlm.engines import certificate
from pocketlm.engines.dag import Job

IDENTICAL, WITHIN, DIFFERENT, REUSED = "identical", "within tolerance", "different", "fact, reused"
# Bytes of these are equal on every machine; of the others only with the same instruction set and versions.
EXACT_RULES = {"download", "tokenizer", "tokenize", "propose"}


@dataclass(frozen=True)
class Finding:
    """What became of one artefact."""

    job: str
    path: str
    verdict: str
    why: str = ""


def depends(jobs: list[Job]) -> dict[str, set[str]]:
    """{job: itself and every job downstream of it}, from jobs in topological order."""
    maker = {path: job.name for job in jobs for path in job.outputs}
    below: dict[str, set[str]] = {job.name: {job.name} for job in jobs}
    for job in reversed(jobs):
        for name in {maker[path] for path in job.inputs if path in maker}:
            below[name] |= below[job.name]
    return below


def off_values(folder: Path, jobs: list[Job], wanted: dict[str, dict[str, float]]) -> dict[str, list[str]]:
    """{job: its values outside their tolerance}."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        for path in (path for path in job.outputs if path in wanted and (folder / path).exists()):
            lines = certificate.outside(wanted[path], certificate.values(folder / path))
            found.setdefault(job.name, []).extend(lines)
    return {name: lines for name, lines in found.items() if lines}


def compare(folder: Path, jobs: list[Job], rerun: set[str], proof: dict[str, Any], same: bool) -> list[Finding]:
    """A finding for each output of the jobs that were rerun (and each reused fact), in topological order.

    Weights, samples and pages that differ in bytes are judged by the losses and scores of their job and of the jobs
    below it: two kinds of processor never share the last bits of a training, and shall share what it is worth. On
    the ``same`` kind with the same versions, other bytes are a difference.
    """
    below, off = depends(jobs), off_values(folder, [job for job in jobs if job.name in rerun], proof["values"])
    findings = []
    for job in jobs:
        for path in job.outputs:
            if job.rule in certificate.FACT_RULES:
                findings.append(Finding(job.name, path, REUSED))
            elif job.name in rerun:
                wrong = [off[name] for name in sorted(below[job.name]) if name in off]
                findings.append(judge(folder, job, path, proof, wrong, same))
    return findings


def judge(folder: Path, job: Job, path: str, proof: dict[str, Any], off: list[list[str]], same: bool) -> Finding:
    """One artefact against its hash, then against what its bytes are worth."""
    wanted = proof["artefacts"].get(path)
    if wanted is None:
        return Finding(job.name, path, DIFFERENT, "not in the certificate")
    if not (folder / path).exists():
        return Finding(job.name, path, DIFFERENT, "was not made")
    if certificate.path_hash(folder / path) == wanted:
        return Finding(job.name, path, IDENTICAL)
    if job.rule in EXACT_RULES:
        return Finding(job.name, path, DIFFERENT, "bytes differ, and must not on any machine")
    if off:
        return Finding(job.name, path, DIFFERENT, "; ".join(off[0][:3]))
    return Finding(
        job.name, path, DIFFERENT if same else WITHIN, "bytes differ on the same kind of machine" if same else ""
    )


def overall(findings: list[Finding]) -> str:
    """The worst verdict."""
    found = {finding.verdict for finding in findings}
    return DIFFERENT if DIFFERENT in found else WITHIN if WITHIN in found else IDENTICAL
