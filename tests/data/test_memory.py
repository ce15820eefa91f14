"""A corpus of 100 billion tokens: memory does not depend on its size. The files are sparse: no disk is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pocketlm.artifacts import write_json
from pocketlm.data.shuffle import permute

TOKENS = 100_000_000_000
MOST = 64  # MiB that opening and reading may add
BATCHES = """
import json, resource, sys
from pathlib import Path
import numpy as np
from pocketlm.data.reader import TokenReader

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

folder, far = sys.argv[1], int(sys.argv[2])
np.unique(np.arange(1000))
before = peak()
reader = TokenReader(folder, "train", 2048, 64, seed=1)
rows = set()
for step in [*range(200), far // 3, far - 1, far, 5 * far]:
    batch = reader.batch(0, step)
    assert batch.inputs.shape == (64, 2048) and (batch.inputs[:, 1:] == batch.targets[:, :-1]).all()
part = reader.parts[0]
marked = part.read(np.array([0, part.rows - 1])).inputs
print(json.dumps([peak() - before, part.rows, marked[0, 0].item(), marked[1, 0].item()]))
"""


def sparse_corpus(folder: Path, tokens: int) -> Path:
    """A tokens folder whose files have their full size and no blocks; the first and the last window are marked."""
    folder.mkdir()
    for split, size in (("train", tokens), ("val", 5000)):
        with (folder / f"{split}.web.bin").open("wb") as stream:
            stream.truncate(2 * size)
            stream.write(np.uint16(7).tobytes())
            stream.seek(2 * ((size - 1) // 2048 - 1) * 2048)
            stream.write(np.uint16(9).tobytes())
        with (folder / f"{split}.web.idx").open("wb") as stream:
            stream.truncate(8 * (size // 500 + 1))
    np.ones(50_000, dtype=np.uint16).tofile(folder / "token_bytes.bin")
    part = {split: {"documents": n // 500, "tokens": n} for split, n in (("train", tokens), ("val", 5000))}
    meta = {
        "kind": "text",
        "dtype": "uint16",
        "vocab_size": 50_000,
        "pad_id": 1,
        "parts": {"web": part | {"weight": 1.0}},
    }
    write_json(folder / "meta.json", meta)
    return folder


def growth(folder: Path, tokens: int) -> float:
    """MiB that a process of its own grows by when it opens the corpus and reads near, far and over the end."""
    command = [sys.executable, "-c", BATCHES, str(folder), str(tokens // 2048 // 64)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    grown, rows, first, last = json.loads(done.stdout)
    assert (rows, first, last) == ((tokens - 1) // 2048, 7, 9)
    return float(grown)


def test_reading_needs_memory_independent_of_size(tmp_path: Path) -> None:
    large = sparse_corpus(tmp_path / "large", TOKENS)
    assert (large / "train.web.bin").stat().st_size == 2 * TOKENS
    assert sum(path.stat().st_blocks for path in large.iterdir()) * 512 < 1 << 20
    small = growth(sparse_corpus(tmp_path / "small", 10_000_000), 10_000_000)
    grown = growth(large, TOKENS)
    assert grown < MOST
    assert grown < small + 16


@pytest.mark.parametrize("n", [*range(1, 70), 255, 256, 257, 4095, 4096, 4097, 65_537])
def test_every_permutation_is_a_bijection(n: int) -> None:
    for key in (0, 1, 2**64 - 1):
        assert np.array_equal(np.sort(permute(np.arange(n), n, key)), np.arange(n))


def test_the_shuffle_of_a_huge_corpus_is_computed() -> None:
    """Different images inside the range for any places; a slice costs what the slice costs."""
    import tracemalloc

    n = TOKENS // 2048
    places = np.concatenate([np.arange(20_000), np.arange(n - 20_000, n), np.arange(n // 2, n // 2 + 20_000)])
    tracemalloc.start()
    images = permute(places, n, 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 8 * len(places)
    assert images.min() >= 0 and images.max() < n and len(np.unique(images)) == len(places)
    counts, _ = np.histogram(images, bins=20, range=(0, n))
    assert (abs(counts / len(places) * 20 - 1) < 0.1).all()  # 60,000 places: 6 standard deviations
    assert abs(np.corrcoef(places, images)[0, 1]) < 0.03
