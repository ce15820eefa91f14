"""``pocketlm chat MODEL``: talk with any tuned model in the terminal; an empty line or Ctrl-D ends it."""

from __future__ import annotations

import argparse
import sys

from pocketlm.stages import generate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm chat``."""
    generate.add_model_arguments(parser)
    parser.add_argument("--system", help="text of the system turn")
    parser.add_argument(
        "--tool", action="append", default=[], help="signature of a tool that may be called; repeatable"
    )


def run(args: argparse.Namespace) -> None:
    """Read a line, stream the answer, until the end of the input."""
    decoder, chat = generate.load(args)
    messages = [{"role": "system", "content": args.system}] if args.system else []
    print("An empty line ends the chat.", file=sys.stderr)
    while line := _read():
        messages.append({"role": "user", "content": line})
        answer = ""
        for text in generate.stream(decoder, chat, chat.prompt(messages, args.tool or None), args):
            answer += text
            sys.stdout.write(text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        messages.append({"role": "assistant", "content": answer})


def _read() -> str:
    """One line of the user, stripped; empty at the end of the input."""
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    return sys.stdin.readline().strip()
