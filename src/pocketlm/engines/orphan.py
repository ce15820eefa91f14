"""A stage ends with the engine that started it, even if that engine was killed and could end nothing.

Without this, a SIGKILL of Snakemake leaves its stage at work, and the next run starts the same stage beside it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading

VARIABLE = "POCKETLM_ENGINE"  # the process id of the Snakemake that runs the job; workflow/rules/common.smk sets it


def end_with_engine() -> None:
    """Get a SIGTERM when the Snakemake that runs this job is no more. Does nothing outside a job, or outside Linux.

    The engine must be an ancestor: on the other nodes of a training the same number is some other process.
    """
    number = os.environ.get(VARIABLE, "")
    if not number.isdigit() or not hasattr(os, "pidfd_open"):
        return
    import psutil

    if int(number) not in {process.pid for process in psutil.Process().parents()}:
        return
    with contextlib.suppress(OSError):
        engine = os.pidfd_open(int(number))
        threading.Thread(target=end_after, args=(engine,), name="end_with_engine", daemon=True).start()


def end_after(engine: int) -> None:
    """Wait until the process of this descriptor is no more, then end this one."""
    select.select([engine], [], [])
    os.kill(os.getpid(), signal.SIGTERM)
