# Helpers of the rules: validation, parameter selection. What the entries mean for the DAG is in engines/graph/.
import gc
import inspect
import os

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError
from pocketlm.config import parse as check_params  # "parse" is a name of Snakemake
from pocketlm.engines import gpus, graph, lock, orphan, variables
from pocketlm.engines.code_files import code, refresh
from pocketlm.engines.dry_run import shorten
from pocketlm.engines.scheduler_words import listen

STARTERS = orphan.starters() if workflow.is_main_process else []
if workflow.is_main_process:
    variables.make_absolute(Path(workflow.basedir))
if workflow.config_settings.overwrite_config:
    raise WorkflowError("--config: stages read params.yaml only; change it with: pocketlm compose recipe=... key=value")
try:
    if workflow.is_main_process:
        lock.clear_killed(Path("."))
    check_params(config, "params.yaml")
except (ArtifactError, ConfigError) as error:
    raise WorkflowError(str(error)) from None
if workflow.is_main_process:  # a job finds what the run that started it wrote
    try:
        refresh()
    except ArtifactError as error:
        print(f"{error}; edited sources count after that", file=sys.stderr)

# A graph of thousands of jobs is no garbage, nor is what Snakemake has imported: to look through it again and again
# takes a sixth of a large dry run, and of a stage of dvc repro.
gc.freeze()
gc.set_threshold(1_000_000, 50, 100)

listen(logger)  # Snakemake's own, a name of every Snakefile
shorten(workflow, logger)

# The science is numerics.device, so the number of GPUs that a job asks for is no profile's choice. On this machine
# Snakemake counts them (--resources gpu=N is another number), and each job gets GPUs of its own: engines/gpus.py.
GPU = int(config["numerics"]["device"] == "cuda")
LEASED = bool(GPU) and not workflow.remote_exec
if GPU and workflow.is_main_process and workflow.resource_settings.nodes is None:
    workflow.global_resources.setdefault("gpu", max(1, len(gpus.visible())))

# Jobs find pocketlm and this copy's sources whether or not the environment is activated; under --sdm conda the
# environment is Snakemake's. Passive waiting: two torch jobs on two cores else slow each other down many times over.
DEPLOYED = bool(workflow.deployment_settings and workflow.deployment_settings.deployment_method)
OURS = f'PATH="{os.path.dirname(sys.executable)}:$PATH"'
MODULE = "pocketlm.engines.gpus" if LEASED else "pocketlm"
shell.prefix(
    f'set -euo pipefail; export PYTHONPATH="{workflow.basedir}/src" OMP_WAIT_POLICY=passive TQDM_DISABLE=1; '
    + f'export {orphan.VARIABLE}="{" ".join([*STARTERS, orphan.name()])}"; '  # a stage ends with its engines
    + ("" if DEPLOYED else f"export {OURS}; ")
    + (f'pocketlm() {{{{ python -m {MODULE} "$@"; }}}}; ' if DEPLOYED or LEASED else "")
    + ("export POCKETLM_LEASE=1; " if LEASED else "")
)

COMPUTE = config["numerics"]["threads"]
RANKS = config["numerics"]["world_size"]
LAUNCH = "pocketlm" if RANKS == 1 else f"python -m pocketlm.engines.launch {RANKS}"


wildcard_constraints:
    source=r"\w+",
    tokenizer=r"\w+",
    corpus=r"\w+",
    device=r"\w+",
    model=r"\w+",
    suite=r"\w+",
    claim=r"\w+",
    rung=r"\d+",
    slot=r"\d+",
    shard=r"\d+",


def plain(function):
    """Keep a function's signature with it: Snakemake asks for it at each call, a twentieth of a large dry run."""
    function.__signature__ = inspect.signature(function)
    return function


def sel(*keys):
    """Parameters by dotted key, for ``params``; a key may be a function of the wildcards."""

    @plain
    def select(wildcards):
        names = []
        for key in keys:
            found = key(wildcards) if callable(key) else key.format(**wildcards)
            names.extend([found] if isinstance(found, str) else found)
        return {name: graph.base.lookup(config, name) for name in names}

    return select


def of(function, *wildcard_names):
    """``function(config, <values of these wildcards>)`` as an input or key function."""

    @plain
    def call(wildcards):
        values = [wildcards[name] for name in wildcard_names]
        try:
            return function(config, *values)
        except KeyError as error:
            if error.args[0] in values:  # a target that someone mistyped
                raise WorkflowError(
                    f"params.yaml names no {error.args[0]}: a typing error, or an entry to add there"
                ) from None
            raise

    return call


def option(flag, name):
    """``flag PATHS`` where the input of this name is not empty."""

    @plain
    def text(wildcards, input):
        paths = input.get(name) or []
        return " ".join([flag, *([paths] if isinstance(paths, str) else paths)]) if paths else ""

    return text


def lists(names, **renamed):
    """``--name PATHS`` for every input of these names that is not empty; ``renamed`` maps a flag to its input."""
    flags = {**{name: name for name in names.split()}, **renamed}
    options = [option(f"--{flag}", name) for flag, name in flags.items()]

    @plain
    def text(wildcards, input):
        return " ".join(filter(None, (one(wildcards, input) for one in options)))

    return text


def one_of(names, known=()):
    """A wildcard constraint that allows just these names; of known ones it says those left out, where they are fewer.

    Snakemake reads the constraint again with each output of each job: a thousand names cost a twentieth of a dry run.
    """
    others = sorted(set(known) - set(names))
    if known and len(others) < len(names):
        return rf"(?!({'|'.join(others)})\b)\w+" if others else r"\w+"
    return "|".join(names) or "NONE"


def be_alone():
    """Refuse to run beside another writer of this run folder; Snakemake's own lock lets some pass."""
    orphan.end_with_starter()
    try:
        lock.keep(Path("."), "snakemake")
    except ArtifactError as error:
        print(f"snakemake: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def next_step():
    """What a user does after a successful run."""
    done = "pocketlm: done. Next: pocketlm show | pocketlm record | open results/report/index.html"
    return "" if "DVC_STAGE" in os.environ else done


def after_failure():
    """What a user has and does after a run in which jobs failed."""
    if "DVC_STAGE" in os.environ:
        return ""
    from pocketlm.engines.partial import partial_report

    again = "Some jobs failed; results/logs/ says why. Start again: it goes on from where it was."
    return f"{partial_report(config)}\n{again}"
