"""The instruction set that a computation really uses here: by the words of the libraries that choose it.

What the processor can do is not what is used: ``ATEN_CPU_CAPABILITY``, ``ONEDNN_MAX_CPU_ISA``,
``MKL_ENABLE_INSTRUCTIONS`` and ``MKL_CBWR`` restrict it, and each library chooses for itself. So a small computation
is made in a process of its own, in which they say what they chose.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys

PROBE = """
import torch
torch.mm(torch.ones(64, 64), torch.ones(64, 64))
if torch.backends.mkldnn.is_available():
    torch.relu(torch.ones(8, 8).to_mkldnn())
print("torch:" + torch.backends.cpu.get_cpu_capability())
"""
WORDS = {
    "torch": r"^torch:(.*)$",
    "onednn": r"^onednn_verbose,.*info,cpu,isa:(.*)$",
    "mkl": r"^MKL_VERBOSE oneMKL .*? for (.*?), \w+ [\d.]+GHz",  # not the clock, which differs by the moment
    "mkl_reproducibility": r"^MKL_VERBOSE .* CNR:(\S+)",
}


@functools.cache
def effective() -> dict[str, str | None]:
    """{library: the instruction set that it chose}; None for one that is not used on this kind of processor."""
    loud = {**os.environ, "MKL_VERBOSE": "1", "ONEDNN_VERBOSE": "1"}
    done = subprocess.run([sys.executable, "-c", PROBE], env=loud, capture_output=True, text=True, check=True)
    return {name: said(done.stdout, pattern) for name, pattern in WORDS.items()}


def said(text: str, pattern: str) -> str | None:
    """What a library said, if it did."""
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else None
