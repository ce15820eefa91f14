"""What is shipped and compared: deployments, claims."""

from __future__ import annotations

from pocketlm.checks.checker import Checker
from pocketlm.deployable import unsupported


def deployments(check: Checker) -> None:
    """A deployment's model has the phase, and its runtime the operators."""
    for name, entry in check.params.deployments.items():
        key = f"deployments.{name}"
        check.known(f"{key}.model", entry.model, check.params.models, "model")
        model = check.params.models[entry.model]
        imported = model.architecture.kind == "imported" and entry.phase == "base"
        if getattr(model, entry.phase) is None and not imported:
            check.refuse(
                f"{key}.phase", f"model {entry.model!r} has no phase {entry.phase}; give it a plan or leave it out"
            )
        gguf = entry.scheme.startswith("gguf")
        if gguf != (entry.runtime == "llamacpp"):
            check.refuse(
                f"{key}.runtime", f"{entry.runtime} does not run {entry.scheme}; gguf needs llamacpp, others torch"
            )
        named = gguf and model.architecture.kind == "named"
        reason = unsupported(model.architecture, entry.scheme) if named else None
        if reason:
            check.refuse(f"{key}.scheme", f"{reason}; leave {entry.scheme} out")


def claims(check: Checker) -> None:
    """The two sides of a claim are pairs of one seed each, and what they are compared by is measured."""
    for name, claim in check.params.claims.items():
        key = f"claims.{name}"
        for side in ("a", "b"):
            for model in getattr(claim, side):
                check.known(f"{key}.{side}", model, check.params.models, "model")
        seeds = [[check.params.models[model].seed for model in side] for side in (claim.a, claim.b)]
        if not claim.a or seeds[0] != seeds[1]:
            check.refuse(f"{key}.b", f"seeds {seeds[1]} are not those of a, {seeds[0]}; pair models by seed")
        if claim.suite is not None:
            check.known(f"{key}.suite", claim.suite, check.params.suites, "suite")
        if claim.metric == "bits_per_byte":
            continue
        check.known(f"{key}.profile", claim.profile, check.params.profiles, "profile")
        for model in (*claim.a, *claim.b):
            check.known(
                f"profiles.{claim.profile}.models", model, check.params.profiles[str(claim.profile)].models, "model"
            )
