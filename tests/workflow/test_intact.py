"""A bit that flips in an artefact or in the cache is found and named, and never used silently."""

import os
import shutil
from pathlib import Path

import pytest
from stub import command, stale

pytestmark = [pytest.mark.xdist_group("recorded"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def project(recorded: Path) -> Path:
    """The finished stub run; what a test changes in it, it puts back."""
    return recorded


@pytest.mark.parametrize("where", ["artefact", "cache"])
def test_flipped_bit_is_named(project: Path, where: str) -> None:
    """Even where size and time of the file are as before, which DVC would trust."""
    from pocketlm.engines import intact, store

    artefact = "results/scores/world/a0.json"
    out = next(out for out in intact.outs(project) if out["path"] == artefact)
    path = project / artefact if where == "artefact" else intact.cache_file(store.cache(project), out["md5"])
    state, before = path.stat(), path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    try:
        found = command(project, "pocketlm", "verify", "--bytes", status=1)
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        path.chmod(state.st_mode)
    assert artefact in found and ("cache object" in found) == (where == "cache")
    assert "every recorded byte is as it was" in command(project, "pocketlm", "verify", "--bytes")


def test_folder_is_checked_member_by_member(project: Path, tmp_path: Path) -> None:
    """With DVC's listing, and where the cache lacks it by the manifest: what changed, is missing, or is too many."""
    from pocketlm.engines import intact, store

    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    (out,) = (out for out in intact.outs(folder) if out["path"] == "results/models/a0/call")
    listing, member = intact.cache_file(store.cache(folder), out["md5"]), folder / out["path"] / "data.bin"
    good = member.read_bytes()
    member.chmod(0o644)
    for _ in ("listing", "manifest"):
        assert "every recorded byte" in command(folder, "pocketlm", "verify", "--bytes")
        member.write_bytes(bytes([good[0] ^ 1]) + good[1:])
        (member.parent / "more.bin").write_bytes(b"")
        found = command(folder, "pocketlm", "verify", "--bytes", status=1)
        assert "call/data.bin: changed since" in found and "call/more.bin: was not recorded" in found
        member.unlink()
        (member.parent / "more.bin").unlink()
        assert "call/data.bin: is missing" in command(folder, "pocketlm", "verify", "--bytes", status=1)
        member.write_bytes(good)
        listing.unlink(missing_ok=True)
    shutil.rmtree(member.parent)
    (folder / "results/scores/world/a0.json").unlink()
    found = command(folder, "pocketlm", "verify", "--bytes", status=1)
    assert "results/models/a0/call: is missing" in found and "world/a0.json: is missing" in found


@pytest.mark.parametrize("artefact", ["results/scores/world/a0.json", "results/models/a0/call/data.bin"])
def test_the_named_remedy_brings_a_flipped_bit_back(project: Path, tmp_path: Path, artefact: str) -> None:
    """Typed as it is printed, though DVC trusts the file's size and time."""
    folder = tmp_path / "a project"
    shutil.copytree(project, folder, symlinks=True)
    command(folder, "pocketlm", "sync")
    path = folder / artefact
    state, before = path.stat(), path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    found = command(folder, "pocketlm", "verify", "--bytes", str(folder), status=1)
    command(folder, "sh", "-c", found.strip().partition("bring it back: ")[2])
    assert path.read_bytes() == before
    command(folder, "pocketlm", "sync")
    assert "every recorded byte is as it was" in command(folder, "pocketlm", "verify", "--bytes")
    assert stale(folder) == ([], [])


FOLDER = pytest.param("results/models/a0/call/data.bin", marks=pytest.mark.full)


@pytest.mark.parametrize("artefact", ["results/scores/world/a0.json", FOLDER])
def test_flipped_bit_is_never_used(project: Path, tmp_path: Path, artefact: str) -> None:
    """``dvc status`` names it, and ``pocketlm run`` makes the artefact again before anything uses it."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    path, page = folder / artefact, folder / "results/report/index.html"
    good = path.read_bytes(), page.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([good[0][0] ^ 1]) + good[0][1:])
    assert artefact.removesuffix("/data.bin") in command(folder, "dvc", "status")
    command(folder, "pocketlm", "run", "-j2")
    assert (path.read_bytes(), page.read_bytes()) == good
    assert stale(folder) == ([], [])


def test_merge_conflict_says_how_to_settle_it(project: Path, tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("<<<<<<< ours\nstages: {}\n=======\n>>>>>>> theirs\n")
    from pocketlm.artifacts import ArtifactError
    from pocketlm.engines import intact

    with pytest.raises(ArtifactError, match=r"take one side.*dvc checkout"):
        intact.lock(tmp_path)
