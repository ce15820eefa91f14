"""A disk that takes no more, as each library that writes an artefact reports it: one line, and nothing half made."""

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 16384  # bytes that a file may have, by the system's own limit
WRITERS = {
    "save_model": """
    from pocketlm.config import Architecture
    from pocketlm.model.decoder import Decoder
    from pocketlm.model.folder import save_model
    arch = Architecture(n_layers=1, d_model=32, n_heads=2, n_kv_heads=2, head_dim=16, d_ff=64, max_seq_len=32)
    with artifacts.atomic_folder("out") as partial:
        save_model(Decoder(arch, 2000).state_dict(), arch, 2000, None, partial, "base")
""",
    "tokenizer": """
    from tokenizers import models
    from pocketlm.data import tokenizer
    vocabulary = {f"word{i}": i for i in range(5000)}
    with artifacts.atomic_folder("out") as partial:
        tokenizer.save(tokenizer.blank(models.BPE(vocabulary, []), True), partial, {})
""",
    "tofile": """
    import numpy as np
    with artifacts.atomic_path("out") as partial:
        np.zeros(100_000).tofile(partial)
""",
    "text": """
    artifacts.write_text("out", "x" * 100_000)
""",
    "elsewhere": """
    import torch
    from safetensors.torch import save_file
    save_file({"x": torch.zeros(100_000)}, "measured")
""",
}
SCRIPT = """
import resource
from pocketlm import artifacts, cli

def write(*_):
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
{body}

cli.execute = write
raise SystemExit(cli.main(["pretrain", "--entry", "a0"]))
"""


@pytest.mark.parametrize("name", WRITERS)
def test_full_disk_is_one_line(name: str, tmp_path: Path) -> None:
    script = SCRIPT.format(limit=LIMIT, body=WRITERS[name])
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    what = "the disk took no more" if name == "tofile" else "larger than a file may be here (ulimit -f)"
    where = "" if name == "elsewhere" else "out: "
    lost = "" if name == "elsewhere" else "nothing was written under this name; "
    assert done.stderr == f"pocketlm pretrain a0: {where}{what}; {lost}free space and run again\n"
    assert name == "elsewhere" or not list(tmp_path.iterdir())
