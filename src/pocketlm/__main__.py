"""``python -m pocketlm``: what torchrun starts."""

from pocketlm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
