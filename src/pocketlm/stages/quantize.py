"""Stage ``quantize``: the deployed artefacts of a model, one folder for each phase and scheme, and their sizes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlm import artifacts, config
from pocketlm.stages._phases import phase_folders

if TYPE_CHECKING:
    import torch

CALIBRATION_ROWS, CALIBRATION_TOKENS = 64, 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``pocketlm quantize``."""
    parser.add_argument("--params", default="params.yaml", help="configuration of the run")
    parser.add_argument("--entry", required=True, help="name of the model in models:")
    parser.add_argument(
        "--models", nargs="+", required=True, help="manifests of its phases, results/models/M/P.manifest.json"
    )
    parser.add_argument(
        "--tokens", nargs="*", default=[], help="manifest of a tokens folder: calibration data for gptq"
    )
    parser.add_argument("--out", required=True, help="folder with one <phase>-<scheme> subfolder a deployment")
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--sizes", required=True, help="bytes by embedding, linear and other")


def run(args: argparse.Namespace) -> None:
    """Write folder, manifest and sizes. Raises ArtifactError for a damaged phase folder or a missing phase."""
    from pocketlm import numerics

    params = config.load(args.params)
    numerics.apply(numerics.alone(params.numerics))
    phases = phase_folders(args.models)
    wanted = {n: d for n, d in sorted(params.deployments.items()) if d.model == args.entry}
    calibration = _calibration(args.tokens) if params.quantization.method == "gptq" else None
    sizes: dict[str, Any] = {}
    with artifacts.atomic_folder(args.out) as out:
        for name, deployment in wanted.items():
            if deployment.phase not in phases:
                raise artifacts.ArtifactError(
                    f"deployments.{name}.phase={deployment.phase}: not among {sorted(phases)}; pass its manifest"
                )
            print(f"quantize {args.entry}: {deployment.phase} {deployment.scheme}", file=sys.stderr)
            sizes[name] = _deploy(phases[deployment.phase], out, deployment, params.quantization, calibration)
    artifacts.write_manifest(args.out, args.manifest, model=args.entry)
    artifacts.write_json(args.sizes, sizes)
    print(f"quantize {args.entry}: {len(sizes)} deployments -> {args.out}", file=sys.stderr)


def _deploy(
    source: Path,
    out: Path,
    deployment: config.Deployment,
    settings: config.Quantization,
    calibration: torch.Tensor | None,
) -> dict[str, Any]:
    """Make one deployment; a pair that cannot exist is left out with its reason, and the others are made."""
    from pocketlm.deployable import unsupported
    from pocketlm.model.folder import architecture_of
    from pocketlm.quantization import compress, gguf_write, schemes, sizes

    container = schemes.scheme(deployment.scheme).container
    about = {"phase": deployment.phase, "runtime": deployment.runtime}
    if container == "hf":
        return about | sizes.measure(source)
    target = out / f"{deployment.phase}-{deployment.scheme}"
    if container == "gguf":
        reason = unsupported(architecture_of(artifacts.read_json(source / "pocketlm.json")), deployment.scheme)
        if reason:
            print(f"quantize: {deployment.scheme} of {deployment.model} is left out: {reason}", file=sys.stderr)
            return about | {"scheme": deployment.scheme, "left_out": reason}
    if not target.is_dir():
        target.mkdir()
        if container == "gguf":
            gguf_write.write_gguf(source, target, deployment.scheme)
        else:
            kept = compress.compress(source, target, deployment.scheme, settings, calibration)
            if kept:
                print(f"quantize: {len(kept)} narrow matrices stay bf16: {', '.join(kept[:3])} …", file=sys.stderr)
    return about | sizes.measure(target)


def _calibration(manifests: list[str]) -> torch.Tensor | None:
    """Token ids [N, T] from the first tokens folder: rows of its training split in the order of seed 0."""
    import torch

    if not manifests:
        return None
    from pocketlm.data.reader import TokenReader

    folder = artifacts.folder_of(manifests[0])
    artifacts.check_manifest(folder, manifests[0])
    reader = TokenReader(folder, "train", CALIBRATION_TOKENS, CALIBRATION_ROWS, 0)
    return torch.as_tensor(reader.batch(0, 0)[0])
