"""Sources edited while a run is at work: what the old ones made is never called fresh, whoever looks meanwhile."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from stub import command, environment, stale

pytestmark = [pytest.mark.xdist_group("recorded"), pytest.mark.timeout(900)]
WAIT = """def run(args):
    import time
    Path("started").touch()
    while not Path("go").exists():
        time.sleep(0.05)
"""


@pytest.mark.full
def test_looking_beside_a_run(recorded: Path, tmp_path: Path) -> None:
    """The look says that edited sources count later; then both engines make the stage again."""
    project = tmp_path / "project"
    shutil.copytree(recorded, project, symlinks=True)
    command(project, "pocketlm", "sync")
    stage = project / "src/pocketlm/stages/call.py"
    stage.write_text(stage.read_text().replace("def run(args):\n", WAIT))
    arguments = ["snakemake", "-j1", "results/models/a0/call"]
    with (project / "first.log").open("w") as log:
        first = subprocess.Popen(arguments, cwd=project, env=environment(project), stdout=log, stderr=log)
    try:
        end = time.monotonic() + 300
        while not (project / "started").exists():
            assert first.poll() is None and time.monotonic() < end, (project / "first.log").read_text()
            time.sleep(0.1)
        before = (project / "results/code/call.json").read_bytes()
        stage.write_text(stage.read_text().replace("text = digest([", "text = digest([1, "))
        look = command(project, "snakemake", "-n")
        assert f"snakemake (process {first.pid}) is at work" in look and "edited sources count after that" in look
        assert (project / "results/code/call.json").read_bytes() == before
    finally:
        (project / "go").touch()
        first.wait(timeout=300)
    assert first.returncode == 0, (project / "first.log").read_text()
    newest = os.stat(project / "results/models/a0/call.manifest.json").st_mtime
    assert newest > os.stat(project / "results/code/call.json").st_mtime
    snakemake, dvc = stale(project)
    assert snakemake == dvc and {"call-a0", "quantize-a0", "report"} <= set(dvc)
    out = command(project, "pocketlm", "record")
    assert "not recorded: call-a0" in out and "recorded 0 stages" in out
