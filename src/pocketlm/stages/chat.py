"""``pocketlm chat MODEL``: talk with any tuned model in the terminal; an empty line or Ctrl-D ends it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pocketlm.stages import generate

if TYPE_CHECKING:
    from pocketlm.data.chat import Chat

Turns = list[dict[str, str]]


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
    system: Turns = [{"role": "system", "content": args.system}] if args.system else []
    turns: Turns = []
    size = decoder.arch.max_seq_len
    print("An empty line ends the chat.", file=sys.stderr)
    while line := _read():
        turns, ids = fitting(chat, system, [*turns, {"role": "user", "content": line}], args, size)
        if len(ids) >= size:
            generate.note(f"{len(ids)} tokens with system and tools, the context holds {size}: shorten them")
            turns = turns[:-1]
            continue
        answer = ""
        for text in generate.stream(decoder, chat, ids, args):
            answer += text
            sys.stdout.write(text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        turns.append({"role": "assistant", "content": answer})


def fitting(chat: Chat, system: Turns, turns: Turns, args: argparse.Namespace, size: int) -> tuple[Turns, list[int]]:
    """(the turns that stay, ids of the prompt): the oldest questions go, with their answers, until one more fits.

    The system turn, the tools and the last question stay. An answer is promised at most half of the context.
    """
    room = min(args.max_new_tokens, size // 2)
    kept = turns
    while len(ids := chat.prompt(system + kept, args.tool or None)) > size - room and len(kept) > 1:
        kept = kept[2:]
    if len(kept) < len(turns):
        generate.note(f"the oldest {len(turns) - len(kept)} turns are left out: the context holds {size} tokens")
    return kept, ids


def _read() -> str:
    """One line of the user, stripped; empty at the end of the input."""
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    return sys.stdin.readline().strip()
