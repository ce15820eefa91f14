"""A DVC remote over ssh, against a real OpenSSH server on loopback with keys of its own."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub import clone_of, command, stale

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
pytestmark = [
    pytest.mark.full,
    pytest.mark.xdist_group("recorded"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(SSHD is None, reason="there is no sshd on this machine (Debian: openssh-server)"),
]
CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
PasswordAuthentication no
StrictModes no
UsePAM no
PermitRootLogin yes
Subsystem sftp internal-sftp
"""


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """(port, key of the user) of an OpenSSH server that lives as long as the test."""
    assert SSHD is not None
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    port = free_port()
    (tmp_path / "config").write_text(CONFIG.format(port=port, folder=tmp_path))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # the server's empty folder, which Debian makes at boot
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(tmp_path / "config")], stderr=subprocess.PIPE, text=True)
    try:
        wait(port, process)
        yield port, tmp_path / "user"
    finally:
        process.terminate()
        process.wait()


def wait(port: int, process: subprocess.Popen[str]) -> None:
    """Return when the server answers."""
    for _ in range(100):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("sshd does not answer")


def test_push_and_pull_over_ssh(recorded: Path, tmp_path: Path, server: tuple[int, Path]) -> None:
    """A second clone pulls everything, and nothing is to be made; a server that is gone is said to be."""
    port, key = server
    project, clone, store = tmp_path / "project", tmp_path / "clone", tmp_path / "store"
    shutil.copytree(recorded, project, symlinks=True)
    user = pwd.getpwuid(os.getuid()).pw_name
    command(project, "dvc", "remote", "add", "-d", "far", f"ssh://{user}@127.0.0.1:{port}{store}")
    command(project, "dvc", "remote", "modify", "--local", "far", "keyfile", str(key))
    command(project, "dvc", "push", "-q")
    assert len(list((store / "files/md5").glob("*/*"))) > 50
    clone_of(project, clone)
    command(clone, "dvc", "pull", "-q")
    assert "synced 38 of 38 jobs" in command(clone, "pocketlm", "sync")
    assert stale(clone) == ([], [])
    path = "results/models/a0/call/data.bin"
    assert (clone / path).read_bytes() == (recorded / path).read_bytes()
    command(project, "dvc", "remote", "modify", "far", "url", f"ssh://{user}@127.0.0.1:{free_port()}{store}")
    out = command(project, "dvc", "push", status=1)
    assert "onnect" in out
