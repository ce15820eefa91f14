"""Command ``sizes``: parameters and costs of the shipped architectures beside what their papers give."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pocketlm.config import ConfigError

CONF = Path(__file__).resolve().parents[3] / "conf"
MB = 1e6
SCHEMES = {  # a column each; w8a8 stores its weights as int8 does
    "bf16 MB": "bf16",
    "int8, w8a8 MB": "int8",
    "int4 MB": "int4",
    "gguf_q8_0 MB": "gguf_q8_0",
    "gguf_q4_0 MB": "gguf_q4_0",
}
HEAD = ["shape", "vocabulary", "M params", "published", "gap", "embedding %", "GFLOP/token", "KV KiB/token"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm sizes``."""
    parser.add_argument("names", nargs="*", help="of conf/model (default: all that a paper published)")
    parser.add_argument("--vocabulary", type=int, help="another vocabulary than the published one")
    parser.add_argument("--context", type=int, default=0, help="tokens that a token attends to, for its FLOPs (0)")


def published() -> dict[str, dict[str, Any]]:
    """{name in conf/model: what its paper says of its size}."""
    import yaml

    data: dict[str, dict[str, Any]] = yaml.safe_load((CONF / "sizes.yaml").read_text(encoding="utf-8"))
    return data


def architecture(name: str) -> Any:
    """A shipped architecture. Raises ConfigError with the names that there are."""
    import yaml

    from pocketlm.schema import Architecture

    path = CONF / "model" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in (CONF / "model").glob("*.yaml")))
        raise ConfigError(f"sizes: {name}: no such shape; there are: {known}")
    return Architecture(**yaml.safe_load(path.read_text(encoding="utf-8")))


def stored(arch: Any, vocabulary: int, scheme: str) -> str:
    """MB of the weights as a scheme stores them: GGUF a shared block once an execution, some decoders not at all."""
    from dataclasses import replace

    from pocketlm.deployable import unsupported
    from pocketlm.model import counts

    if scheme.startswith("gguf"):
        if unsupported(arch, scheme):
            return "–"
        arch = replace(arch, n_layers=arch.n_layers * arch.sharing, sharing=1)
    return f"{counts.weight_bytes(arch, vocabulary, scheme) / MB:,.1f}"


def row(name: str, paper: dict[str, Any], vocabulary: int, context: int) -> list[str]:
    """One line: ours, theirs, and the costs of ours."""
    from pocketlm.model import counts

    arch = architecture(name)
    ours = counts.summary(arch, vocabulary, context)
    theirs = paper.get("params_m") if vocabulary == paper.get("vocab_size") else None
    gap = f"{round(100 * (ours['params'] / 1e6 / theirs - 1), 2) + 0.0:+.2f} %" if theirs else "–"
    return [
        name,
        f"{vocabulary:,}",
        f"{ours['params'] / 1e6:,.2f}",
        f"{theirs:,g}" if theirs else "–",
        gap,
        f"{100 * ours['embedding_share']:.1f}",
        f"{ours['flops_per_token'] / 1e9:.3f}",
        f"{ours['kv_bytes_per_token'] / 1024:.1f}",
        *(stored(arch, vocabulary, scheme) for scheme in SCHEMES.values()),
        paper.get("why", "") if theirs else "",
    ]


def table(names: list[str], vocabulary: int | None, context: int) -> list[list[str]]:
    """The lines of the table; the first is the head."""
    papers = published()
    lines = [[*HEAD, *SCHEMES, "why the gap"]]
    for name in names or list(papers):
        architecture(name)  # an unknown shape is named as such
        paper = papers.get(name, {})
        size = vocabulary or paper.get("vocab_size")
        if size is None:
            raise ConfigError(f"sizes: {name}: no published vocabulary; give it: --vocabulary N")
        lines.append(row(name, paper, size, context))
    return lines


def run(args: argparse.Namespace) -> None:
    """Print the table, columns aligned, numbers to the right."""
    lines = table(args.names, args.vocabulary, args.context)
    widths = [max(map(len, column)) for column in zip(*lines)]
    for number, (name, *numbers, why) in enumerate(lines):
        right = [text.rjust(width) for text, width in zip(numbers, widths[1:])]
        print("  ".join([name.ljust(widths[0]), *right, why]).rstrip())
        if number == 0:
            print("  ".join("─" * width for width in widths))
    print(f"\nForward FLOPs at context {args.context}; KV cache in 16 bits; weights as each scheme stores them.")
    print("GGUF: a shared block once for each execution; – where llama.cpp cannot run the decoder or pack its rows.")
