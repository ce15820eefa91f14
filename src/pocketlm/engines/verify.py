"""``pocketlm verify``: make a run again in a clean copy, compare it artefact by artefact, write the certificate.

The copy gets params.yaml and the facts (they are measurements: reused, not measured again, except by ``--measure``).
With ``--from`` or ``--sample`` it also gets every artefact that is not made again. Exit status: 0 identical or within
tolerance, 1 different, 130 interrupted (nothing is certified then).
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, sha256, write_json
from pocketlm.config import ConfigError
from pocketlm.engines import certificate, clean_copy, environment, intact, lock, verdict
from pocketlm.engines.dag import Job, open_dag
from pocketlm.engines.run import INTERRUPTED, snakemake
from pocketlm.engines.verdict import DIFFERENT, Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm verify``."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder (default: here)")
    parser.add_argument("--against", type=Path, help="a certificate from elsewhere (default: this run's own artefacts)")
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--from", dest="start", metavar="STAGE", help="only this stage and those below: pretrain-a0")
    some.add_argument("--sample", type=int, metavar="N", help="only N stages, drawn by --seed")
    some.add_argument("--measure", action="store_true", help="only the facts: measure them again")
    some.add_argument("--bytes", action="store_true", help="run nothing: check the bytes of artefacts and cache only")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--into", type=Path, help="the clean copy; given again, an interrupted one goes on")
    parser.add_argument("--out", type=Path, help="the certificate (default: FOLDER/certificate.json)")


def run(args: argparse.Namespace) -> int:
    """Verify; returns the exit status. A copy of our own choice stays only for a look at what differs."""
    if args.bytes:
        with lock.alone(args.folder, "pocketlm verify"):
            check_bytes(args.folder)
        print(f"{args.folder}: every recorded byte is as it was")
        return 0
    if args.into:
        return verify(args, args.into)
    base, status = Path(tempfile.mkdtemp(prefix="pocketlm-verify-")), 0
    try:
        status = verify(args, base / "copy")
    finally:
        if not status:
            shutil.rmtree(base)
    return status


def verify(args: argparse.Namespace, copy: Path) -> int:
    """Make the run again in ``copy``, compare, write the certificate; returns the exit status."""
    with lock.alone(args.folder, "pocketlm verify"):  # of a run that goes on there is nothing to certify
        params, jobs, proof = certified(args.folder, args.against)
        if proof["source"]["dirty"]:
            print("verify: the certificate's tree had changes beyond its commit; it says so", file=sys.stderr)
        rerun = chosen(jobs, args)
        now = environment.describe(params["numerics"])
        if args.against:
            clean_copy.check_kept(args.folder, jobs, rerun, proof)
        note = clean_copy.about(args.folder, jobs, rerun, proof, now)
        clean_copy.begin(args.folder, copy, jobs, rerun, proof["facts"], note)
    if make_again(copy, jobs, rerun):
        clean_copy.finish(copy)
    same = environment.same_kind(proof["environment"], now)
    findings = verdict.compare(copy, jobs, rerun, proof, same)
    status = say(findings, environment.differences(proof["environment"], now))
    out = args.out or args.folder / "certificate.json"
    write_json(out, proof | {"verified": report(findings, rerun, now)})
    if status or args.into:
        print(f"the clean copy is kept: {copy}", file=sys.stderr)
    print(f"{verdict.overall(findings)}: {len(rerun)} of {len(jobs)} stages made again; certificate: {out}")
    return status


def certified(folder: Path, against: Path | None) -> tuple[dict[str, Any], list[Job], dict[str, Any]]:
    """(params.yaml as plain data, jobs, certificate) of what is verified: a given certificate, or this finished run."""
    if against is None:
        if (folder / "dvc.lock").is_file():
            check_bytes(folder)
        params, jobs = certificate.finished(folder)
        return params, jobs, certificate.make(folder, jobs, params)
    proof = certificate.load(against)
    if sha256(folder / "params.yaml") != proof["params"]:
        raise ConfigError(f"{folder}/params.yaml: is not what the certificate is of; check out its commit")
    return *read(folder), proof


def check_bytes(folder: Path) -> None:
    """Raise ArtifactError naming each artefact or cached object whose bytes are not those that were recorded."""
    lines = list(intact.damaged(folder))
    if lines:
        raise ArtifactError("\n".join(lines))


def read(folder: Path) -> tuple[dict[str, Any], list[Job]]:
    """(params.yaml as plain data, jobs in topological order) of a run folder."""
    with open_dag(folder) as dag:
        return dict(dag.workflow.config), dag.jobs


def chosen(jobs: list[Job], args: argparse.Namespace) -> set[str]:
    """Names of the stages that are made again; measurements only where they are asked for."""
    able = [job.name for job in jobs if (job.rule in certificate.FACT_RULES) == args.measure]
    if args.start is not None:
        if args.start not in able:
            raise ConfigError(f"verify --from {args.start}: no such stage; there are: {', '.join(able)}")
        return verdict.depends(jobs)[args.start] & set(able)
    if args.sample is not None:
        return set(random.Random(args.seed).sample(able, min(args.sample, len(able))))
    return set(able)


def waves(jobs: list[Job], rerun: set[str]) -> dict[str, int]:
    """{job: how often the way to it from the first jobs leads from one that is made again to one that is kept}.

    ``jobs`` in topological order. What is made again in one wave depends on nothing kept that depends on that wave.
    """
    maker = {path: job.name for job in jobs for path in job.outputs}
    found: dict[str, int] = {}
    for job in jobs:
        before = {maker[path] for path in job.inputs if path in maker}
        step = job.name not in rerun
        found[job.name] = max((found[name] + (step and name in rerun) for name in before), default=0)
    return found


def make_again(copy: Path, jobs: list[Job], rerun: set[str]) -> bool:
    """Run the chosen stages in the copy by Snakemake, and no others; returns whether all of them were made.

    What is kept looks stale to Snakemake when its inputs are made again. So the stages go in waves, and before each
    the kept ones between are marked as up to date: nothing is measured, and nothing between two of a sample made.
    """
    wave = waves(jobs, rerun)
    for number in sorted({wave[name] for name in rerun}):
        if number:
            mark(copy, [job.name for job in jobs if job.name not in rerun and wave[job.name] == number])
        if not run_targets(copy, jobs, {name for name in rerun if wave[name] == number}):
            return False
    return True


def mark(copy: Path, names: list[str]) -> None:
    """Let Snakemake hold these as just made."""
    with open_dag(copy) as dag:
        for name in names:
            dag.mark_finished(name, time.time())


def run_targets(copy: Path, jobs: list[Job], names: set[str]) -> bool:
    """Whether Snakemake made these stages. One that fails is left to the comparison, which names it.

    Raises KeyboardInterrupt where the run was interrupted: of half a verification there is nothing to say.
    """
    status = snakemake(copy, "--", *(job.outputs[0] for job in jobs if job.name in names))
    if status in INTERRUPTED:
        raise KeyboardInterrupt
    if status:
        print(f"verify: snakemake ended with status {status}; comparing what was made", file=sys.stderr)
    return not status


def say(findings: list[Finding], changes: list[str]) -> int:
    """Print the findings, the first stage that differs and what differs around it; returns the exit status."""
    for finding in (finding for finding in findings if finding.verdict != verdict.KEPT):
        print(f"{finding.verdict:<17} {finding.path}" + (f"  ({finding.why})" if finding.why else ""))
    first = next((finding for finding in findings if finding.verdict in (verdict.WITHIN, DIFFERENT)), None)
    if first is not None:
        print(f"first stage that is not identical: {first.job}")
        print("environment: " + ("; ".join(changes) if changes else "the same versions, instruction set and threads"))
    return int(verdict.overall(findings) == DIFFERENT)


def report(findings: list[Finding], rerun: set[str], now: dict[str, Any]) -> dict[str, Any]:
    """What the certificate says of the verification: ``stages`` and their artefacts were made in ``environment``.

    What was kept may be of another machine: it was pulled, or made before something of this one changed.
    """
    return {
        "verdict": verdict.overall(findings),
        "environment": now,
        "stages": sorted(rerun),
        "artefacts": {finding.path: finding.verdict for finding in findings},
    }
