"""``python -m pocketlm.engines.launch RANKS STAGE ...``: start a training of several processes by torchrun.

On one machine all ranks are local. In a Slurm job over several nodes each node gets an equal share, with the first
node as the meeting point; how many nodes there are is the cluster profile's business, and no parameter of the run.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from pocketlm.config import ConfigError
from pocketlm.engines.gpus import lease


def slurm_nodes(job: str | None) -> list[str]:
    """Names of the nodes of this Slurm job; none outside Slurm.

    Asked of the scheduler: Snakemake's plugin leaves no variable of the job but its id in the environment.
    """
    if job is None:
        return []
    compact = output("squeue", "--noheader", "--format=%N", "--jobs", job).strip()
    return output("scontrol", "show", "hostnames", compact).split()


def output(*command: str) -> str:
    """What a command prints. Raises ConfigError with its own words."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"{command[0]}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout


def command(ranks: int, nodes: list[str], job: str | None, arguments: list[str]) -> list[str]:
    """The command that starts ``ranks`` processes of ``pocketlm ARGUMENTS`` on these nodes.

    Raises ConfigError if the ranks do not divide over the nodes.
    """
    module = ["--module", "pocketlm", *arguments]
    if len(nodes) < 2:
        return ["torchrun", "--standalone", f"--nproc-per-node={ranks}", *module]
    count = len(nodes)
    if ranks % count:
        raise ConfigError(f"numerics.world_size={ranks} does not divide over {count} nodes; change the profile's nodes")
    # This runs on the first node. Its own name, not Slurm's for it: by that torchrun knows the meeting point.
    first = socket.gethostname()
    port = 20000 + int(job or 0) % 10000  # two trainings may share the first node
    return [
        *["srun", f"--nodes={count}", f"--ntasks={count}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"],
        *["torchrun", f"--nnodes={count}", f"--nproc-per-node={ranks // count}"],
        *["--rdzv-backend=c10d", f"--rdzv-id={job}", f"--rdzv-endpoint={first}:{port}", *module],
    ]


def main(arguments: list[str]) -> None:
    """Become the launched command."""
    job = os.environ.get("SLURM_JOB_ID")
    try:
        words = command(int(arguments[0]), slurm_nodes(job), job, arguments[1:])
    except ConfigError as error:
        sys.exit(f"pocketlm: {error}")
    if "POCKETLM_LEASE" in os.environ and words[0] == "torchrun":  # by workflow/rules/common.smk
        lease(int(arguments[0]))
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1:])
