"""What an engine started ends with it, even if that engine was killed and could end nothing.

A stage watches its Snakemake and who started that: ``dvc repro`` or ``pocketlm run``. Such a Snakemake watches it too.
Without this, a SIGKILL leaves them at work, and the next run starts the same stage beside them.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

VARIABLE = "POCKETLM_ENGINE"  # names of the processes that a job ends with, by words
STOP = signal.SIGUSR2  # a KeyboardInterrupt in Snakemake: SIGINT is ignored by what a script starts in the background


def name(number: int | None = None) -> str:
    """``<process>@<host>:<namespace>``, of this process by default: the same number elsewhere is another process."""
    namespace = Path("/proc/self/ns/pid")
    inode = namespace.stat().st_ino if namespace.exists() else 0
    return f"{number or os.getpid()}@{socket.gethostname()}:{inode}"


def starters() -> list[str]:
    """Names of the processes that started this Snakemake and that it ends with; none where a user started it."""
    found = os.environ.get(VARIABLE, "").split()
    if "DVC_STAGE" in os.environ and not found:
        found += dvc_process()
    return found


def dvc_process() -> list[str]:
    """The name of the DVC that runs this stage: the first ancestor, past its shell, that is not inside the stage."""
    import psutil

    for process in psutil.Process().parents():
        try:
            if "DVC_STAGE" not in process.environ():
                return [name(process.pid)]
        except psutil.Error:  # of another user: it did not start us
            break
    return []


def end_with_engine() -> None:
    """Get a SIGTERM when an engine that this stage belongs to is no more. Does nothing outside a job."""
    watch(os.environ.get(VARIABLE, "").split(), lambda: os.kill(os.getpid(), signal.SIGTERM))


def end_with_starter() -> None:
    """Interrupt this Snakemake as Ctrl-C does when its starter is no more: jobs on a cluster are cancelled too."""
    if watched := starters():
        signal.signal(STOP, signal.default_int_handler)
        watch(watched, lambda: os.kill(os.getpid(), STOP))


def watch(names: list[str], end: Callable[[], None]) -> None:
    """Call ``end``, once, when one of these processes of this machine is no more. Does nothing outside Linux."""
    here = name().partition("@")[2]
    numbers = [int(number) for number, _, host in (word.partition("@") for word in names) if host == here]
    if not numbers or not hasattr(os, "pidfd_open"):
        return
    try:
        descriptors = [os.pidfd_open(number) for number in numbers]
    except ProcessLookupError:  # it was killed before we looked
        end()
        return
    except OSError:  # a kernel without them
        return
    threading.Thread(target=end_after, args=(descriptors, end), name="end_with_engine", daemon=True).start()


def end_after(descriptors: list[int], end: Callable[[], None]) -> None:
    """Wait until one of the processes of these descriptors is no more, then call ``end``."""
    select.select(descriptors, [], [])
    end()
