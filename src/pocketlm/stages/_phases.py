"""The phases of a model that a stage was given by their manifests."""

from __future__ import annotations

from pathlib import Path

from pocketlm import artifacts


def phase_folders(manifests: list[str]) -> dict[str, Path]:
    """{phase: checked folder} of phase manifests ``…/<phase>.manifest.json``."""
    folders = [artifacts.folder_of(manifest) for manifest in manifests]
    for folder, manifest in zip(folders, manifests, strict=True):
        artifacts.check_manifest(folder, manifest)
    return {folder.name: folder for folder in folders}
