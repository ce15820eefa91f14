"""How fast one core encodes English, with the ids of ``tokenizers``: MB of text a second, by vocabulary.

    POCKETLM_MIRROR=... python benchmarks/tokenization.py [--megabytes 20] [--repeats 3]

The text is that of recipe=bookshelf (books, textbooks, Wikipedia), found in the mirror by content. The process is tied
to one core. "stage" is all that a tokenize job does with a document: reading jsonl, hashing, looking evaluation items
up, encoding, writing. Prints a Markdown table; measure on a quiet machine.
What was found: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"  # before the libraries start their threads
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import numpy as np  # noqa: E402

from pocketlm.artifacts import ArtifactError, write_jsonl  # noqa: E402
from pocketlm.compose import compose  # noqa: E402
from pocketlm.config import Params, Part, World, parse  # noqa: E402
from pocketlm.data import corpora, tokenizer, world  # noqa: E402
from pocketlm.data.chat import Chat  # noqa: E402
from pocketlm.data.contamination import Contamination  # noqa: E402
from pocketlm.data.encode import Encoder  # noqa: E402
from pocketlm.data.fetch import file_name  # noqa: E402
from pocketlm.data.mirror import find_in_mirror  # noqa: E402
from pocketlm.data.readers import READERS, documents  # noqa: E402
from pocketlm.data.tokens import write_parts  # noqa: E402
from pocketlm.profiling.device import cpu_model  # noqa: E402
from pocketlm.stages.tokenize import watched  # noqa: E402

ENGLISH = "bookshelf_text"


def recipe(name: str) -> Params:
    """The parameters of a shipped recipe."""
    import yaml

    return parse(yaml.safe_load(compose(name, [])[0]))


def english(params: Params) -> Iterator[str]:
    """The documents of recipe=bookshelf's running text."""
    for part in params.corpora[ENGLISH].parts.values():
        source = params.sources[part.source]
        path = find_in_mirror(source.sha256 or "", file_name(source, part.source))
        if path is None:
            raise ArtifactError(f"{part.source}: not in the mirror; set POCKETLM_MIRROR to a folder that has it")
        yield from (document.text for document in READERS[part.reader](path))


def world_texts(params: Params, folder: Path) -> Iterator[str]:
    """Training texts of the embedded world, as recipe=demo's tokenizer sees them."""
    world.build(World(**vars(params.world)), folder)
    return corpora.training_texts(params, params.tokenizers["world"].corpora, {"world": folder})


def best(repeats: int, function: Callable[[], Any]) -> float:
    """The least seconds of some calls."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def stage(folder: Path, texts: Path, items: dict[str, list[str]]) -> None:
    """What a tokenize job does with a source, the start of its process left out."""
    check = Contamination(items)
    stream = watched(documents(Part(source="texts"), texts), check, 0.02)
    with tempfile.TemporaryDirectory() as out:
        write_parts(Path(out), {"p": stream}, Chat(folder), "text", 0.02)


def row(name: str, made: Any, texts: list[str], source: Path, repeats: int) -> str:
    """A line of the table."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    encode = Encoder(made)
    few = texts[:: max(1, len(texts) // 400)]
    few_size = sum(len(text.encode()) for text in few) / 1e6
    same = all(map(np.array_equal, encode.arrays(texts), encode.slow(texts)))
    count = sum(map(len, encode.arrays(texts)))
    slow = few_size / best(1, lambda: encode.slow(few))
    first = size / best(1, lambda: Encoder(made).arrays(texts))
    fast = size / best(repeats, lambda: encode.arrays(texts))
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(made, Path(folder), {})
        items = {"benchmark/items": texts[::500]}
        whole = size / best(repeats, lambda: stage(Path(folder), source, items))
    library = "fastokens" if encode.fast is not None else "tokenizers"
    figures = f"{size * 1e6 / count:.2f} | {slow:.1f} | {first:.0f} | {fast:.0f} | {whole:.0f}"
    return f"| {name} | {library} | {figures} | {'yes' if same else 'no'} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--megabytes", type=float, default=20, help="of English that are encoded (default: 20)")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts (default: 3)")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    shelf, demo = recipe("bookshelf"), recipe("demo")
    everything = list(english(shelf))
    share = max(1, round(sum(map(len, everything)) / 1e6 / args.megabytes))
    texts = everything[::share]
    with tempfile.TemporaryDirectory() as base:
        (Path(base) / "texts").mkdir()
        (Path(base) / "world").mkdir()
        write_jsonl(Path(base) / "texts/texts.jsonl", ({"text": text} for text in texts))
        vocabularies = {
            "world, 896, digits apart": (world_texts(demo, Path(base) / "world"), 896, True),
            "bookshelf, 4,096, digits apart": (everything, 4096, True),
            "GPT-2's pattern, 32,768": (everything, 32768, False),
        }
        print(f"Command: `{shlex.join(['python', 'benchmarks/tokenization.py', *sys.argv[1:]])}`.")
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("fastokens", "tokenizers"))
        print(f"One core of {cpu_model()}, {platform.system()}, Python {platform.python_version()}, {versions}.\n")
        print("| vocabulary | encoder | bytes a token | tokenizers | first pass | later passes | stage | ids equal |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for name, (training, vocab_size, digits) in vocabularies.items():
            made = tokenizer.train(training, vocab_size, digits, "benchmark")
            print(row(name, made, texts, Path(base) / "texts", args.repeats), flush=True)


if __name__ == "__main__":
    main()
