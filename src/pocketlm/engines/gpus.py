"""GPUs of this machine, without torch: how many there are, and which of them a job has to itself.

``python -m pocketlm.engines.gpus STAGE ...`` is ``pocketlm STAGE ...`` on a GPU that no other job of this user has:
every process takes the first GPU that it sees, so two trainings side by side would share one and leave the others idle.
A lease is a locked file a GPU. The system gives it back when the last process of the job has ended, however it ended.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from pathlib import Path

STAGES = frozenset(
    {"trial", "random", "pretrain", "pretrain-inherited", "instruct", "call", "quantize", "score"}
)  # that compute where numerics.device says
WAIT = 0.5  # seconds between looks for a free GPU


def visible(devices: str | Path = "/dev") -> list[str]:
    """The GPUs that CUDA would number here, by ``CUDA_VISIBLE_DEVICES`` or else by their device files."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        files = [path for path in Path(devices).glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()]
        return [str(number) for number in range(len(files))]
    found: list[str] = []
    for name in map(str.strip, given.split(",")):
        if not name or name.startswith("-"):  # CUDA reads no further
            break
        found.append(name)
    return found


def lease(count: int) -> None:
    """Let this process, and what it becomes, see ``count`` GPUs only; waits until so many are free.

    Where there are fewer, it gets them all: the stage then says what is missing.
    """
    names = visible()
    folder = Path(tempfile.gettempdir()) / f"pocketlm-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while len(taken := take(names, min(count, len(names)), folder)) < min(count, len(names)):
        time.sleep(WAIT)
    if taken:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)


def take(names: list[str], count: int, folder: Path) -> list[str]:
    """``count`` of these GPUs, locked; none where fewer are free, so that no two jobs wait for each other."""
    held: dict[str, int] = {}
    for name in names:
        file = os.open(folder / name.replace("/", "-"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        os.set_inheritable(file, True)  # held by what this process becomes
        held[name] = file
        if len(held) == count:
            return list(held)
    for file in held.values():
        os.close(file)
    return []


def main(arguments: list[str]) -> None:
    """Become ``pocketlm`` with these arguments."""
    if arguments and arguments[0] in STAGES:
        lease(1)
    os.execv(sys.executable, [sys.executable, "-m", "pocketlm", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
