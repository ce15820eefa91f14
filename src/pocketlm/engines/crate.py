"""``pocketlm crate``: a finished run as a Workflow Run RO-Crate, for archives that read that format.

Inside are the workflow, the parameters, the lock and every small artefact. Folders (weights, tokens) stay outside
unless asked for: their manifests name each member's sha256, and DVC holds the bytes. Profiles: Workflow RO-Crate 1.0,
Process Run Crate 0.5, Workflow Run Crate 0.5.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

from pocketlm.artifacts import ArtifactError, digest, members, read_json, sha256
from pocketlm.engines import certificate, environment, lock
from pocketlm.engines.closure import ROOT, pins
from pocketlm.engines.dag import Job

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
LICENSE = "https://spdx.org/licenses/Apache-2.0"
TYPES = {".json": "application/json", ".csv": "text/csv", ".html": "text/html", ".yaml": "application/yaml"}


def ended(folder: Path, jobs: list[Job]) -> str:
    """When the newest artefact was written, UTC."""
    newest = max((folder / path).stat().st_mtime for job in jobs for path in job.outputs)
    return datetime.datetime.fromtimestamp(newest, datetime.UTC).isoformat(timespec="seconds")


def about(path: Path, name: str) -> dict[str, Any]:
    """Properties of a file in the crate."""
    return {
        "name": name,
        "encodingFormat": TYPES.get(path.suffix, "text/plain"),
        "contentSize": str(path.stat().st_size),
        "sha256": sha256(path),
    }


def file_of(crate: Any, folder: Path, path: str) -> Any:
    """Add one file of the run folder under its own path."""
    return crate.add_file(folder / path, path, properties=about(folder / path, path))


def result(crate: Any, folder: Path, path: str, whole: bool) -> Any:
    """Add one artefact: a file; a folder with its members, or a description of it by its hash."""
    from rocrate.model.contextentity import ContextEntity

    source = folder / path
    if not source.is_dir():
        return file_of(crate, folder, path)
    if whole:
        entity = crate.add_dataset(dest_path=f"{path}/", properties={"name": path})
        entity["hasPart"] = [file_of(crate, folder, f"{path}/{name}") for name in members(source)]
        return entity
    manifest = source.with_name(f"{source.name}.manifest.json")
    known = read_json(manifest)["sha256"] if manifest.is_file() else digest(members(source))
    words = {"@type": "CreativeWork", "name": path, "identifier": f"sha256:{known}"}
    words["description"] = "A folder that is not in this crate; its manifest names the sha256 of each member."
    return crate.add(ContextEntity(crate, f"#{path}", properties=words))


def add_workflow(crate: Any) -> Any:
    """The Snakefile as the main entity, with its rules beside it."""
    version = pins()["snakemake"]
    words: dict[str, Any] = {"name": "PocketLM", "license": {"@id": LICENSE}}
    if environment.commit()["commit"]:
        words["softwareVersion"] = environment.commit()["commit"]
    flow = crate.add_workflow(
        ROOT / "Snakefile", "Snakefile", properties=words, main=True, lang="snakemake", lang_version=version
    )
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        name = path.relative_to(ROOT).as_posix()
        flow.append_to("hasPart", crate.add_file(path, name, properties=about(path, name)))
    return flow


def describe(crate: Any, params: dict[str, Any], end: str) -> None:
    """What the profiles ask of the root: name, description, date, licence, profiles."""
    from rocrate.model.contextentity import ContextEntity

    for address, name in PROFILES.items():
        kind = {"@type": "CreativeWork", "name": name, "version": address.rpartition("/")[2]}
        crate.root_dataset.append_to("conformsTo", crate.add(ContextEntity(crate, address, properties=kind)))
    kind = {"@type": "CreativeWork", "name": "Apache License 2.0"}
    crate.root_dataset["license"] = crate.add(ContextEntity(crate, LICENSE, properties=kind))
    crate.name = str(params["report"]["title"])
    crate.description = f"A finished PocketLM run of recipe {params['_recipe']}: parameters, artefacts, hashes."
    crate.datePublished = end


def build(folder: Path, params: dict[str, Any], jobs: list[Job], whole: bool) -> Any:
    """The crate of a finished run."""
    from rocrate.rocrate import ROCrate

    crate, end = ROCrate(version="1.1"), ended(folder, jobs)
    describe(crate, params, end)
    flow = add_workflow(crate)
    inputs = [file_of(crate, folder, name) for name in ("params.yaml", "dvc.yaml", "dvc.lock", "certificate.json")
              if (folder / name).is_file()]  # fmt: skip
    results = [result(crate, folder, path, whole) for job in jobs for path in job.outputs]
    words = {"name": f"Run of {params['_recipe']}", "endTime": end}
    words["description"] = f"{len(jobs)} jobs by Snakemake {pins()['snakemake']}, recorded by DVC {pins()['dvc']}"
    action = crate.add_action(flow, "#run", object=inputs, result=results, properties=words)
    crate.root_dataset.append_to("mentions", action)
    return crate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command line of ``pocketlm crate``."""
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."), help="run folder (default: here)")
    parser.add_argument("--out", type=Path, required=True, help="the crate, a folder that is not there yet")
    parser.add_argument("--whole", action="store_true", help="with folders too: weights, tokens, deployments")


def run(args: argparse.Namespace) -> None:
    """Write the crate."""
    try:
        import rocrate  # noqa: F401
    except ModuleNotFoundError:
        raise ArtifactError('rocrate is not installed; remedy: pip install "pocketlm[crate]"') from None
    if args.out.exists():
        raise ArtifactError(f"{args.out}: is there already; name another folder")
    with lock.alone(args.folder, "pocketlm crate"):
        params, jobs = certificate.finished(args.folder)
        crate = build(args.folder, params, jobs, args.whole)
        crate.write(args.out)
    print(f"{args.out}: RO-Crate of {len(jobs)} jobs, {len(crate.data_entities)} files")
