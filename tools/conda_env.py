"""Write workflow/envs/pocketlm.yaml, the environment of ``snakemake --sdm conda``, from requirements.txt."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def text() -> str:
    """The environment file: Python and the pinned requirements."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    head = ["# Written by tools/conda_env.py from requirements.txt.", "channels: [conda-forge]", "dependencies:"]
    return "\n".join([*head, "  - python=3.12", "  - pip", "  - pip:", *(f"      - {pin}" for pin in pins)]) + "\n"


if __name__ == "__main__":
    (ROOT / "workflow/envs/pocketlm.yaml").write_text(text(), encoding="utf-8")
