"""Identical, within tolerance, or different: the comparison of a rerun with a certificate, artefact by artefact."""

from __future__ import annotations

import statistics
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketlm.artifacts import read_json
from pocketlm.engines import certificate
from pocketlm.engines.dag import Job

IDENTICAL, WITHIN, DIFFERENT = "identical", "within tolerance", "different"
REUSED, MEASURED, KEPT = "fact, reused", "fact, within tolerance", "kept, not made again"
# Bytes of these are equal on every machine; of the others only with the same instruction set and versions.
EXACT_RULES = {"download", "tokenizer", "tokenize", "tokenize_shard", "tokenize_join", "propose"}


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


def worth(folder: Path, jobs: list[Job], wanted: dict[str, dict[str, float]]) -> dict[str, list[str]]:
    """{job that has values on both sides: a line for each of them outside its tolerance}."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        for path in (path for path in job.outputs if path in wanted and (folder / path).exists()):
            lines = certificate.outside(wanted[path], certificate.values(folder / path))
            found.setdefault(job.name, []).extend(lines)
    return found


def judges(jobs: list[Job], valued: Container[str]) -> dict[str, list[str]]:
    """{job: those with values, itself and below, by which its bytes are judged; else those above it}.

    ``jobs`` are those that were made again: what is made from a kept artefact says nothing of the one before that.
    """
    below = depends(jobs)
    above = {job.name: [name for name in below if job.name in below[name]] for job in jobs}
    found = {}
    for job in jobs:
        own = [other.name for other in jobs if other.name in below[job.name] and other.name in valued]
        found[job.name] = own or [name for name in above[job.name] if name in valued]
    return found


def compare(folder: Path, jobs: list[Job], rerun: set[str], proof: dict[str, Any], same: bool) -> list[Finding]:
    """A finding for each artefact, in topological order.

    Weights, samples and pages that differ in bytes are judged by the losses and scores of their job and of the jobs
    below it (the report's, below which there are none, by those that it shows): two kinds of processor never share the
    last bits of a training, and shall share what it is worth. On the ``same`` kind with the same versions, other bytes
    are a difference, and so are they where no value was made again.
    """
    made = [job for job in jobs if job.name in rerun]
    off = worth(folder, made, proof["values"])
    by = judges(made, off)
    findings = []
    for job in jobs:
        for path in job.outputs:
            if job.name in rerun and job.rule in certificate.FACT_RULES:
                findings.append(judge_fact(folder, job, path, proof["facts"].get(path)))
            elif job.name in rerun:
                lines = [off[name] for name in by[job.name]]
                findings.append(judge(folder, job, path, proof, lines, same))
            else:
                kept = REUSED if job.rule in certificate.FACT_RULES else KEPT
                findings.append(Finding(job.name, path, kept))
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
    why = reason(job, off, same)
    if why and proof.get("verified", {}).get("artefacts", {}).get(path) == KEPT:
        why += "; the certificate's machine had kept it, and may not have made it"
    return Finding(job.name, path, DIFFERENT if why else WITHIN, why)


def reason(job: Job, off: list[list[str]], same: bool) -> str:
    """Why other bytes are a difference; empty where they are within tolerance."""
    if job.rule in EXACT_RULES:
        return "bytes differ, and must not on any machine"
    wrong = [lines for lines in off if lines]
    if wrong:
        return "; ".join(wrong[0][:3])
    if same:
        return "bytes differ on the same kind of machine"
    return "" if off else "bytes differ, and no loss or score was made again to compare"


def judge_fact(folder: Path, job: Job, path: str, fact: Any) -> Finding:
    """A measurement that was made again, by the median of how far its numbers are off; equal ones may be constants."""
    if not (folder / path).exists():
        return Finding(job.name, path, DIFFERENT, "was not made")
    again = read_json(folder / path)
    if again == fact:
        return Finding(job.name, path, IDENTICAL)
    before, now = dict(certificate.leaves(fact)), dict(certificate.leaves(again))
    missing = sorted(before.keys() ^ now.keys())
    if missing:
        return Finding(job.name, path, DIFFERENT, f"measured again: {missing[0]} is missing")
    off = [abs(now[key] / before[key] - 1) for key in before if before[key] and now[key] != before[key]]
    middle = statistics.median(off) if off else 0.0
    why = f"measured again: {middle:.0%} off, the median of {len(off)} numbers"
    return Finding(job.name, path, MEASURED if middle <= certificate.FACT else DIFFERENT, why)


def overall(findings: list[Finding]) -> str:
    """The worst verdict."""
    found = {finding.verdict for finding in findings}
    return DIFFERENT if DIFFERENT in found else WITHIN if WITHIN in found else IDENTICAL
