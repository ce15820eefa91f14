"""Hub datasets at a commit, through huggingface_hub; every file verified by its own sha256."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError
from pocketlm.config import ConfigError, Source
from pocketlm.data import network
from pocketlm.data.mirror import cache_folder, find_in_mirror

COMMIT = re.compile(r"[0-9a-f]{40}")


def check(source: Source, name: str) -> None:
    """A hub source names a repository, a commit (never a branch) and the hash of each file."""
    if not source.repo:
        raise ConfigError(f"sources.{name}.repo: missing; a hub source needs repo, revision and files")
    if not COMMIT.fullmatch(source.revision or ""):
        raise ConfigError(
            f"sources.{name}.revision: '{source.revision}' is not a commit of 40 hex digits; resolve a branch with: "
            f"pocketlm pin --repo {source.repo}"
        )
    if not source.files:
        raise ConfigError(f"sources.{name}.files: empty; list files and hashes with: pocketlm pin --repo {source.repo}")


def obtain_hub(source: Source, name: str, folder: Path) -> None:
    """Fetch the listed files into ``folder``: from the mirror, the cache, or the hub."""
    from pocketlm.data.fetch import copy_verified, safe_name

    check(source, name)
    for file, digest in sorted(source.files.items()):
        target = folder / safe_name(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        cached = cache_folder() / "downloads" / digest
        path = find_in_mirror(digest, Path(file).name) or (cached if cached.is_file() else None)
        if path is not None:
            copy_verified(path, target, digest)
            continue
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            fetched = fetch_hub(str(source.repo), str(source.revision), file, Path(temporary), name)
            copy_verified(fetched, target, digest)


def fetch_hub(repo: str, revision: str, file: str, folder: Path, name: str) -> Path:
    """One file of a dataset at a commit. The token, if any, comes from the environment and is never shown."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        path = hf_hub_download(
            repo, file, repo_type="dataset", revision=revision, local_dir=folder, endpoint=os.environ.get("HF_ENDPOINT")
        )
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        raise ArtifactError(f"sources.{name}: {repo}/{file}: the hub answered HTTP {status}{remedy(status)}") from None
    except (LocalEntryNotFoundError, OSError) as error:
        raise ArtifactError(
            f"sources.{name}: {repo}/{file} cannot be fetched ({network.reason(error)}); with no network set "
            f"POCKETLM_MIRROR to a folder that holds the file"
        ) from None
    return Path(path)


def remedy(status: Any) -> str:
    """What to do about a refusal."""
    if status in (401, 403):
        return "; a gated dataset needs an accepted licence and a token in the variable HF_TOKEN"
    return "; check repo, revision and file name"
