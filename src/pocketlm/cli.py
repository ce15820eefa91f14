"""``pocketlm COMMAND``: one subcommand a stage, and the commands of a user.

A command's module is imported only when the command runs, so that help and refusals are immediate. Such a module has
``add_arguments(parser)`` and ``run(args)``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import NamedTuple

import pocketlm
from pocketlm.artifacts import ArtifactError, full
from pocketlm.config import ConfigError
from pocketlm.engines.orphan import end_with_engine


class Command(NamedTuple):
    """Where a command lives and what it does."""

    module: str
    help: str


STAGES = {
    "download": Command("pocketlm.stages.download", "fetch or generate one source and verify its bytes"),
    "tokenizer": Command("pocketlm.stages.tokenizer", "train, import or compress one tokenizer"),
    "tokenize": Command("pocketlm.stages.tokenize", "encode one corpus into token shards"),
    "tokenize-shard": Command("pocketlm.stages.tokenize_shard", "encode one shard of a large corpus"),
    "tokenize-join": Command("pocketlm.stages.tokenize_join", "join a corpus's shards to its tokens"),
    "calibrate": Command("pocketlm.stages.calibrate", "measure one device by operator shape"),
    "propose": Command("pocketlm.stages.propose", "filter the search space by budget and fill the first rung"),
    "trial": Command("pocketlm.stages.trial", "train the proxy of one slot of one rung"),
    "promote": Command("pocketlm.stages.promote", "fill a rung with the best of the rung before"),
    "random": Command("pocketlm.stages.random", "train the random arm that the search is compared with"),
    "select": Command("pocketlm.stages.select", "write the Pareto front and the winners by rank"),
    "profile": Command("pocketlm.stages.profile", "measure prefill, decode, load and memory of models"),
    "pretrain": Command("pocketlm.stages.pretrain", "train the base phase of one model"),
    "inherit": Command("pocketlm.stages.inherit", "cut a model's first weights out of a larger trained one"),
    "pretrain-inherited": Command("pocketlm.stages.pretrain_inherited", "train the base phase from inherited weights"),
    "instruct": Command("pocketlm.stages.instruct", "tune one model on dialogues"),
    "call": Command("pocketlm.stages.call", "tune one model on function calls"),
    "import": Command("pocketlm.stages.import_model", "take in a local Hugging Face Llama folder as a base phase"),
    "quantize": Command("pocketlm.stages.quantize", "make the quantized deployments of one model"),
    "score": Command("pocketlm.stages.score", "score one model and its deployments on one suite with lm-eval"),
    "claim": Command("pocketlm.stages.claim", "compare the two sides of one claim, paired by seed"),
    "claims": Command("pocketlm.stages.claims", "write the table and the figure of all claims"),
    "report": Command("pocketlm.stages.report", "write the HTML report and the results table"),
}
COMMANDS = {
    "compose": Command("pocketlm.compose", "write params.yaml from a recipe: compose recipe=demo key=value"),
    "plan": Command("pocketlm.plan", "say what a run costs before it starts, and check the disk"),
    "sizes": Command("pocketlm.stages.sizes", "print parameters and costs of the papers' architectures"),
    "batch": Command("pocketlm.stages.batch", "print the batch that a training read at a step"),
    "vocabularies": Command("pocketlm.stages.vocabularies", "coverage and share of a tokenizer cut to several sizes"),
    "show": Command("pocketlm.stages.show", "print the results table of a run"),
    "generate": Command("pocketlm.stages.generate", "continue a prompt with a produced model"),
    "chat": Command("pocketlm.stages.chat", "talk to a produced model"),
    "export": Command("pocketlm.stages.export", "write a model in the layout of Llama, MobileLLM or PhoneLM"),
    "convert": Command("pocketlm.stages.convert", "rewrite a checkpoint's pickles as safetensors, to import it"),
    "compare": Command("pocketlm.stages.compare", "set a scored model beside the papers' published tables"),
    "diff": Command("pocketlm.stages.diff", "compare two runs: parameters, scores, bytes"),
    "run": Command("pocketlm.engines.run", "sync, snakemake, record: make what is missing, both engines clean"),
    "dvc": Command("pocketlm.engines.generate", "write dvc.yaml from the Snakefile's DAG, or check it (--check)"),
    "record": Command("pocketlm.engines.record", "tell DVC what Snakemake made"),
    "sync": Command("pocketlm.engines.sync", "tell Snakemake what DVC restored"),
    "verify": Command("pocketlm.engines.verify", "make a run again in a clean copy and certify that it is the same"),
    "crate": Command("pocketlm.engines.crate", "export a finished run as a Workflow Run RO-Crate"),
    "gc": Command("pocketlm.engines.gc", "show what takes disk and is needed by nothing; --apply frees it"),
    "code": Command("pocketlm.engines.code_files", "write what each stage depends on in code (Snakemake does it too)"),
    "pin": Command("pocketlm.stages.pin", "resolve a URL, file or hub branch to pinned content"),
}


def overview() -> str:
    """The help page."""
    lines = ["usage: pocketlm COMMAND [options]      (pocketlm COMMAND --help tells more)", ""]
    for title, table in (("Commands", COMMANDS), ("Stages (Snakemake runs them)", STAGES)):
        lines += [f"{title}:"] + [f"  {name:<18} {command.help}" for name, command in table.items()] + [""]
    lines.append("Start with: pocketlm compose recipe=demo && snakemake && pocketlm show")
    return "\n".join(lines)


def execute(name: str, command: Command, arguments: list[str]) -> int:
    """Import the command's module, parse its arguments and run it; returns the exit status."""
    if name in STAGES:
        end_with_engine()
    module = importlib.import_module(command.module)
    parser = argparse.ArgumentParser(prog=f"pocketlm {name}", description=f"{name}: {command.help}.")
    module.add_arguments(parser)
    if name in STAGES and not any(action.dest == "params" for action in parser._actions):
        parser.add_argument("--params", default="params.yaml", help="the run's configuration (default: params.yaml)")
    arrange = getattr(module, "arrange", list)  # of a command that hands arguments on
    rest = any(action.nargs == argparse.REMAINDER for action in parser._actions)
    parse = parser.parse_args if rest else parser.parse_intermixed_args  # key=value before and behind --into DIR
    status = module.run(parse(arrange(arguments)))
    return int(status or 0)


def label(name: str, arguments: list[str]) -> str:
    """``pocketlm pretrain a0``: the stage and its entry, for the line of an error."""
    entry = arguments[arguments.index("--entry") + 1 :][:1] if "--entry" in arguments else []
    return " ".join(["pocketlm", name, *entry])


def main(argv: list[str] | None = None) -> int:
    """Run one command. Exit status: 0 done, 1 an artefact or the disk, 2 a wrong configuration, 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else argv
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "help"):
        print(overview())
        return 0
    if name in ("-V", "--version"):
        print(f"pocketlm {pocketlm.__version__}")
        return 0
    command = STAGES.get(name) or COMMANDS.get(name)
    if command is None:
        print(f"pocketlm: no command {name!r}; the commands: {', '.join(COMMANDS | STAGES)}", file=sys.stderr)
        return 2
    where = label(name, arguments[1:])
    try:
        return execute(name, command, arguments[1:])
    except ConfigError as error:
        print(f"{where}: {error}", file=sys.stderr)
        return 2
    except ArtifactError as error:
        print(f"{where}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{where}: interrupted; start it again and it goes on from its last checkpoint", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:
        what = full(error)
        if what is None:
            raise
        print(f"{where}: {what}; free space and run again", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
