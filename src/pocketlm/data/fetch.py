"""Fetching a source: mirror by content, then the download cache, then the network; always verified by sha256."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from pocketlm.artifacts import ArtifactError, atomic_path, sha256
from pocketlm.config import ConfigError, Source, World
from pocketlm.data import network
from pocketlm.data.mirror import cache_folder, find_in_mirror, mirror_folder


def file_name(source: Source, name: str) -> str:
    """The name that the source's file has in its folder."""
    raw = source.path if source.kind == "path" else unquote(urlsplit(source.url or "").path)
    return PurePosixPath(raw or "").name or f"{name}.bin"


def safe_name(raw: str) -> str:
    """A relative name that stays inside its folder, as it is."""
    path = PurePosixPath(raw)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ConfigError(f"'{raw}' leads out of the source's folder; give a relative file name")
    return str(path)


def obtain(source: Source, name: str, folder: Path, world: World | None = None) -> dict[str, Any]:
    """Put the source's files into ``folder``; returns what its manifest says about it.

    Raises ArtifactError or ConfigError with the remedy. Nothing that is not verified is ever under its final name.
    """
    if source.kind == "embedded":
        from pocketlm.data import world as embedded

        counts = embedded.build(world or World(), folder)
        return about(source, name) | {"rows": counts or {}}
    if source.kind == "hub":
        from pocketlm.data.hub import obtain_hub

        obtain_hub(source, name, folder)
        return about(source, name)
    digest = (source.sha256 or "").lower()
    if len(digest) != 64:
        raise ConfigError(f"sources.{name}.sha256: missing or not 64 hex digits; get it with: pocketlm pin")
    target = folder / safe_name(file_name(source, name))
    if source.kind == "path":
        copy_verified(find_path(source, name, digest), target, digest)
    else:
        copy_verified(find_url(source, name, digest), target, digest)
    return about(source, name)


def about(source: Source, name: str) -> dict[str, Any]:
    """Licence and origin for manifest and model card; no credentials, no path of this machine."""
    origin = source.origin or (network.redacted(source.url) if source.url else source.repo or "")
    return {"source": name, "kind": source.kind, "license": source.license, "origin": origin}


def find_path(source: Source, name: str, digest: str) -> Path:
    """The local file of a path source, or one with the same content in the mirror."""
    path = Path(source.path or "").expanduser()
    if path.is_file():
        found = sha256(path)
        if found == digest:
            return path
        other = find_in_mirror(digest, path.name)
        if other is None:
            raise ArtifactError(f"sources.{name}: {path}: wrong bytes: expected sha256 {digest}, found {found}")
        return other
    if (found_path := find_in_mirror(digest, path.name)) is not None:
        return found_path
    raise ArtifactError(f"sources.{name}: {path} does not exist and {nowhere(digest)}")


def nowhere(digest: str) -> str:
    """Why the mirror did not help, and the remedy."""
    if mirror_folder() is None:
        return f"no mirror is set; set POCKETLM_MIRROR to a folder that holds the file with sha256 {digest}"
    return f"POCKETLM_MIRROR holds no file with sha256 {digest}; put it there under any name"


def find_url(source: Source, name: str, digest: str) -> Path:
    """The file in the mirror, in the download cache, or fetched into that cache."""
    url = source.url
    if not url:
        raise ConfigError(f"sources.{name}.url: missing; a source of kind url needs a url and a sha256")
    if (found := find_in_mirror(digest, file_name(source, name))) is not None:
        return found
    cached = cache_folder() / "downloads" / digest
    if cached.is_file():
        if sha256(cached) == digest:
            return cached
        cached.unlink()  # damaged on the disk: fetched again
    try:
        network.download(url, digest, cached, shown(name))
    except ConnectionError as error:
        raise ArtifactError(
            f"sources.{name}: {network.redacted(url)} cannot be fetched ({error}); {nowhere(digest)}, "
            f"or run again when the network is back: what was fetched is kept and resumed"
        ) from None
    return cached


def shown(name: str) -> network.Report:
    """Progress on stderr."""
    from pocketlm.progress import Progress

    bars: list[Progress] = []

    def report(done: int, total: int) -> None:
        if total > 1 << 20:
            if not bars:
                bars.append(Progress(f"download {name}", total, "byte", start=min(done, total)))
            bars[0].update(done)
            if done >= total:
                bars[0].close()

    return report


def copy_verified(path: Path, target: Path, digest: str) -> None:
    """Copy and look at the bytes again: a file may change between lookup and copy."""
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
        found = sha256(temporary)
        if found != digest:
            raise ArtifactError(f"{path}: wrong bytes: expected sha256 {digest}, found {found}; nothing was kept")
