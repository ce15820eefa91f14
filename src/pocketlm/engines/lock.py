"""One writer for each run folder: whoever comes second refuses with one line, and nothing is corrupted.

Snakemake's own lock has holes: it looks and then writes, so that two runs started together both pass; a run that ends
deletes the locks of all others; and a killed one leaves its lock behind. DVC knows nothing of Snakemake. So a writer
holds an flock, which ends with its process however that ends, and stands in DVC's table of busy paths, so that
``dvc repro`` refuses too. It stands there as a reader: ``dvc status`` goes on working during a run.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pocketlm.artifacts import ArtifactError
from pocketlm.engines.dag import need_params

FILE = Path(".snakemake") / "pocketlm.lock"
PATIENCE = 1.0  # seconds: another process may be looking whether the lock is free
# Inside a stage of DVC, which has deleted the outputs: DVC itself refused a second one, so that the holder belongs to a
# DVC that was killed, and is about to end (engines/orphan.py) after a training's checkpoint.
PATIENCE_IN_DVC = 120.0
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # Lustre mounted without flock, some NFS
kept = contextlib.ExitStack()
atexit.register(kept.close)


@contextlib.contextmanager
def flock(folder: Path, who: str) -> Iterator[None]:
    """Hold the run folder's lock file. Raises ArtifactError with the name of its holder."""
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        end = time.monotonic() + (PATIENCE_IN_DVC if "DVC_STAGE" in os.environ else PATIENCE)
        while not taken(stream.fileno()):
            if time.monotonic() > end:
                stream.seek(0)
                holder = stream.read().strip() or "another process"
                raise ArtifactError(f"{folder}: {holder} is at work in this run folder; wait for its end, or stop it")
            time.sleep(0.05)
        stream.truncate(0)
        stream.write(f"{who} (process {os.getpid()})")
        stream.flush()
        yield


def taken(descriptor: int) -> bool:
    """Take an flock if it is free. Raises ArtifactError where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        why = "this file system has no file locks, which keep two runs apart"
        remedy = "mount it with them (Lustre: -o flock), or move the run folder to one that has them"
        raise ArtifactError(f"{FILE}: {why} ({error.strerror}); {remedy}") from None
    return True


@contextlib.contextmanager
def in_dvc_table(folder: Path) -> Iterator[None]:
    """Stand in DVC's table of busy paths as a reader of ``results``: DVC's writers refuse. Raises ArtifactError."""
    full = folder.resolve()
    root = next((path for path in (full, *full.parents) if (path / ".dvc").is_dir()), None)
    if root is None or "DVC_STAGE" in os.environ:  # DVC started us, and stands there itself
        yield
        return
    from dvc.fs import localfs
    from dvc.lock import LockError
    from dvc.rwlock import rwlock

    table = root / ".dvc" / "tmp"
    table.mkdir(parents=True, exist_ok=True)
    stack = contextlib.ExitStack()
    try:
        # DVC compares process and command line: the same ones let our own calls of DVC pass.
        command = " ".join(sys.argv)
        stack.enter_context(rwlock(str(table), localfs, command, [str(full / "results")], [], False))
    except LockError as error:
        found = re.search(r"\(PID (\d+)\): (.*)", str(error))
        holder = f"{found[2]} (process {found[1]})" if found else "DVC"
        raise ArtifactError(f"{folder}: {holder} is at work in this run folder; wait for its end, or stop it") from None
    with stack:
        yield


@contextlib.contextmanager
def alone(folder: Path, who: str) -> Iterator[None]:
    """Be the run folder's only writer inside the block. Raises ArtifactError with the name of the one that is."""
    need_params(folder)
    # DVC's table first: a refused one must never hold, not even for an instant, what a stage of DVC needs.
    with in_dvc_table(folder), flock(folder, who):
        yield


def keep(folder: Path, who: str) -> None:
    """Be the run folder's only writer until this process ends."""
    kept.enter_context(alone(folder, who))


def clear_killed(folder: Path) -> bool:
    """Remove Snakemake's lock if the run that left it was killed; returns whether there was one.

    A living run holds the flock, so that a lock of Snakemake without one has no owner.
    """
    locks = folder / ".snakemake" / "locks"
    if not locks.is_dir() or not any(locks.iterdir()):
        return False
    path = folder / FILE
    if not path.is_file():  # made by a run without this lock: not ours to judge
        return False
    with path.open("a") as stream:
        if not taken(stream.fileno()):
            return False
        shutil.rmtree(locks, ignore_errors=True)
    return True
