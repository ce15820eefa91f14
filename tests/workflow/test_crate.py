"""``pocketlm crate``: what the Workflow Run Crate profile requires, by hand and by the community's validator."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from stub import command, edited

pytestmark = [pytest.mark.xdist_group("recorded"), pytest.mark.timeout(900)]
NETWORK = {"ro-crate-1.1_3.1", "ro-crate-1.1_3.2"}  # fetch the context; see roc_offline.py


@pytest.fixture(scope="module")
def crate(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crate of the finished run."""
    folder = tmp_path_factory.mktemp("crate") / "crate"
    assert "RO-Crate of 38 jobs" in command(recorded, "pocketlm", "crate", "--out", str(folder))
    return folder


def graph(crate: Path) -> dict[str, Any]:
    """{@id: entity} of a crate."""
    return {entity["@id"]: entity for entity in json.loads((crate / "ro-crate-metadata.json").read_text())["@graph"]}


@pytest.mark.full
def test_required_properties(crate: Path, recorded: Path) -> None:
    """Of Workflow RO-Crate 1.0 and Workflow Run Crate 0.5, read off the specification."""
    entities = graph(crate)
    root = entities["./"]
    assert root["name"] and root["description"] and root["license"] and root["datePublished"]
    assert "https://w3id.org/ro/wfrun/workflow/0.5" in {profile["@id"] for profile in root["conformsTo"]}
    flow = entities[root["mainEntity"]["@id"]]
    assert set(flow["@type"]) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert entities[flow["programmingLanguage"]["@id"]]["version"] == "9.27.1"
    mentions = root["mentions"] if isinstance(root["mentions"], list) else [root["mentions"]]
    action = entities[mentions[0]["@id"]]
    assert action["@type"] == "CreateAction" and action["instrument"]["@id"] == "Snakefile"
    results = {entity["@id"].removeprefix("#") for entity in action["result"]}
    made = {str(path.relative_to(recorded)) for path in (recorded / "results/models/a0").glob("[!.]*")}
    assert made and made <= results and "results/scores/world/a0.json" in results


def test_every_file_is_there_with_its_hash_and_no_path_of_this_machine(crate: Path, recorded: Path) -> None:
    text = (crate / "ro-crate-metadata.json").read_text()
    assert str(recorded) not in text and str(Path.home()) not in text and "file:" not in text
    files = [entity for entity in graph(crate).values() if "sha256" in entity]
    assert len(files) > 50
    for entity in files:
        assert hashlib.sha256((crate / entity["@id"]).read_bytes()).hexdigest() == entity["sha256"]
    weights = graph(crate)["#results/models/a0/call"]
    assert weights["identifier"].endswith(
        json.loads((crate / "results/models/a0/call.manifest.json").read_text())["sha256"]
    )


def validate(folder: Path, report: Path) -> set[str]:
    """Identifiers of the required checks that fail."""
    tool = shutil.which("rocrate-validator")
    if tool is None:
        pytest.skip("rocrate-validator is not on the PATH (roc-validator wants an older rich: a venv of its own)")
    python = Path(tool).read_text().partition("\n")[0].removeprefix("#!").strip()
    arguments = ["validate", "-p", "workflow-run-crate-0.5", "-l", "required", "--no-paging", "-f", "json"]
    script = str(Path(__file__).with_name("roc_offline.py"))
    subprocess.run([python, script, "-y", *arguments, "-o", str(report), str(folder)], capture_output=True)
    found = json.loads(report.read_text())
    checks = [issue["check"] for issue in found["issues"]]
    return {check["identifier"] if isinstance(check, dict) else check for check in checks} - NETWORK


def test_validator(crate: Path, tmp_path: Path) -> None:
    """Nothing required is missing; and the validator does find it when the action is taken away."""
    assert validate(crate, tmp_path / "good.json") == set()
    spoiled = tmp_path / "spoiled"
    shutil.copytree(crate, spoiled)
    path = spoiled / "ro-crate-metadata.json"
    data = json.loads(path.read_text())
    data["@graph"] = [entity for entity in data["@graph"] if entity.get("@type") != "CreateAction"]
    next(entity for entity in data["@graph"] if entity["@id"] == "./").pop("mainEntity")
    path.write_text(json.dumps(data))
    assert validate(spoiled, tmp_path / "bad.json")


def test_whole_and_refusals(recorded: Path, tmp_path: Path) -> None:
    """Folders with their bytes where asked; an existing folder and an unfinished run are refused."""
    command(recorded, "pocketlm", "crate", "--out", str(tmp_path / "crate"), "--whole")
    path = "results/models/a0/call/data.bin"
    assert (tmp_path / "crate" / path).read_bytes() == (recorded / path).read_bytes()
    assert "is there already" in command(recorded, "pocketlm", "crate", "--out", str(tmp_path), status=1)
    with edited(recorded / "params.yaml", "title: PocketLM tiny", "title: Another"):
        out = command(recorded, "pocketlm", "crate", "--out", str(tmp_path / "other"), status=1)
    assert "not finished: report" in out and not (tmp_path / "other").exists()
