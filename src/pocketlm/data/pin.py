"""Resolving a URL, a local file or a hub branch to pinned content, as an entry for ``sources:``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, sha256
from pocketlm.data import network


def pin_url(url: str) -> dict[str, Any]:
    """The entry of a URL, with the hash of what it serves now."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        try:
            network.fetch(url, path, lambda done, total: None, 1.0)
        except ConnectionError as error:
            raise ArtifactError(f"{network.redacted(url)} cannot be fetched ({error})") from None
        return {"kind": "url", "url": network.redacted(url) if "@" in url else url, "sha256": sha256(path)}


def pin_path(path: str) -> dict[str, Any]:
    """The entry of a local file."""
    if not Path(path).is_file():
        raise ArtifactError(f"{path}: no such file")
    return {"kind": "path", "path": path, "sha256": sha256(path)}


def pin_hub(repo: str, revision: str, files: list[str]) -> dict[str, Any]:
    """The entry of a hub dataset: branch resolved to a commit, every file with its sha256.

    Large files carry their sha256 in the hub's metadata; small ones are fetched and hashed.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    from pocketlm.data.hub import fetch_hub, remedy

    try:
        info = HfApi(endpoint=os.environ.get("HF_ENDPOINT")).dataset_info(repo, revision=revision, files_metadata=True)
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        raise ArtifactError(f"{repo}: the hub answered HTTP {status}{remedy(status)}") from None
    except OSError as error:
        raise ArtifactError(f"{repo} cannot be reached ({network.reason(error)})") from None
    found = {entry.rfilename: entry for entry in info.siblings or []}
    if missing := sorted(set(files) - found.keys()):
        raise ArtifactError(f"{repo}: no file {missing[0]}; it has {', '.join(sorted(found)[:20])}")
    hashes = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in sorted(files or found):
            lfs = found[name].lfs
            hashes[name] = lfs.sha256 if lfs else sha256(fetch_hub(repo, str(info.sha), name, Path(folder), repo))
    return {"kind": "hub", "repo": repo, "revision": info.sha, "files": hashes}
