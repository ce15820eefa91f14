"""The embedded source: a small, consistent world generated from a seed (DESIGN: Data)."""

from pocketlm.data.world.build import build

__all__ = ["build"]
