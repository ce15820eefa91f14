"""How long jobs take side by side: Snakemake's scheduling of a DAG, simulated (list scheduling by priority)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A job: what it takes (seconds, cores, GPUs, GiB) and the names of the jobs that it waits for."""

    name: str
    seconds: float
    cores: int = 1
    gpus: int = 0
    memory_gib: float = 0.0
    priority: int = 0
    needs: frozenset[str] = frozenset()


@dataclass
class Schedule:
    """Seconds until the last job has ended; the most memory in GiB at one time, and of how many jobs."""

    seconds: float = 0.0
    memory_gib: float = 0.0
    at_once: int = 0


def simulate(tasks: Iterable[Task], cores: int, gpus: int) -> Schedule:
    """Start whatever is ready and fits, the highest priority first; wait for the next job to end; and again.

    A job that wants more than there is gets all there is, as Snakemake does it: it runs alone.
    """
    waiting = sorted(tasks, key=lambda task: -task.priority)
    undone = {task.name for task in waiting}
    running: list[tuple[float, str, Task]] = []
    found, now, free_cores, free_gpus = Schedule(), 0.0, cores, gpus
    while waiting or running:
        for task in [one for one in waiting if not one.needs & undone]:
            if min(task.cores, cores) <= free_cores and min(task.gpus, gpus) <= free_gpus:
                waiting.remove(task)
                heapq.heappush(running, (now + task.seconds, task.name, task))
                free_cores, free_gpus = free_cores - min(task.cores, cores), free_gpus - min(task.gpus, gpus)
        note_memory(found, [task for _, _, task in running])
        now, name, task = heapq.heappop(running)
        undone.remove(name)
        free_cores, free_gpus = free_cores + min(task.cores, cores), free_gpus + min(task.gpus, gpus)
    found.seconds = now
    return found


def note_memory(found: Schedule, running: list[Task]) -> None:
    """Keep the most memory that jobs had at one time; those of unknown memory (0) do not count."""
    known = [task.memory_gib for task in running if task.memory_gib]
    if sum(known) > found.memory_gib:
        found.memory_gib, found.at_once = sum(known), len(known)
