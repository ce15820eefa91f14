"""``pocketlm generate MODEL "prompt"``: continue a text with any produced model, quantized or not."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pocketlm import artifacts

if TYPE_CHECKING:
    from pocketlm.data.chat import Chat
    from pocketlm.model.decoder import Decoder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm generate``."""
    add_model_arguments(parser)
    parser.add_argument("prompt", help="text to continue; - reads it from standard input")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it answers: shared with ``chat``."""
    parser.add_argument("model", help="a model or deployment folder, or the name of a model of this run folder")
    parser.add_argument("--phase", help="phase of a named model: base, instruct or call (default: the last one made)")
    parser.add_argument("--scheme", default="bf16", help="bf16, int8, w8a8, int4, gguf_q8_0, gguf_q4_0")
    parser.add_argument("--results", default="results", help="where a named model is looked up")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)


def run(args: argparse.Namespace) -> None:
    """Print prompt and continuation as it comes. Raises ArtifactError for an unknown model."""
    decoder, chat = load(args)
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    ids = chat.tokenizer.encode(prompt, add_special_tokens=False).ids or [chat.eos_id]
    sys.stdout.write(prompt)
    for text in stream(decoder, chat, ids, args):
        sys.stdout.write(text)
        sys.stdout.flush()
    sys.stdout.write("\n")


def load(args: argparse.Namespace) -> tuple[Decoder, Chat]:
    """The decoder and the chat format of the model that the arguments name."""
    import torch

    from pocketlm.data.chat import Chat
    from pocketlm.quantization import load_quantized

    torch.set_num_threads(args.threads)
    folder = find(args.model, args.phase, args.scheme, Path(args.results))
    return load_quantized(folder), Chat(folder)


def find(model: str, phase: str | None, scheme: str, results: Path) -> Path:
    """The folder of a model: a path, or a name in the run folder with phase and scheme."""
    if (Path(model) / "pocketlm.json").is_file():
        return Path(model)
    made = [p for p in ("call", "instruct", "base") if (results / "models" / model / p / "pocketlm.json").is_file()]
    if not made:
        known = sorted(p.name for p in (results / "models").glob("*") if p.is_dir())
        raise artifacts.ArtifactError(
            f"{model}: no model folder and no model of this run folder; there are: {', '.join(known) or 'none yet'}"
        )
    phase = phase or made[0]
    folder = results / "models" / model / phase
    if scheme != "bf16":
        folder = results / "deploy" / model / f"{phase}-{scheme}"
    if not (folder / "pocketlm.json").is_file():
        found = [*made, *sorted(p.name for p in (results / "deploy" / model).glob("*-*"))]
        raise artifacts.ArtifactError(f"{folder}: not made; of {model} there are: {', '.join(found)}")
    return folder


def stream(decoder: Decoder, chat: Chat, ids: list[int], args: argparse.Namespace) -> Iterator[str]:
    """Pieces of text as tokens come; a character of several tokens comes when it is whole.

    Prompt and answer share the context: the answer gets what the prompt leaves, at least one token.
    What is cut is said.
    """
    from pocketlm.model.generate import stream as tokens

    size = decoder.arch.max_seq_len
    kept = ids[-(size - 1) :]
    if len(kept) < len(ids):
        note(f"the first {len(ids) - len(kept)} of the prompt's {len(ids)} tokens are cut: the context holds {size}")
    room = min(args.max_new_tokens, size - len(kept))
    new: list[int] = []
    shown = ""
    for token in tokens(decoder, kept, room, chat.stop_ids, temperature=args.temperature, seed=args.seed):
        new.append(token)
        text = chat.tokenizer.decode(new, skip_special_tokens=True)
        if not text.endswith("\ufffd"):
            yield text[len(shown) :]
            shown = text
    if len(new) == room < args.max_new_tokens:
        note(f"cut after {room} new tokens: prompt and answer fill the context of {size}")


def note(text: str) -> None:
    """A remark beside the answer, on standard error and a line of its own."""
    print(f"\n({text})", file=sys.stderr)
