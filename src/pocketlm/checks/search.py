"""The architecture search and its devices."""

from __future__ import annotations

from pocketlm.checks.checker import Checker
from pocketlm.checks.models import searched


def search(check: Checker) -> None:
    """Space, rungs, device and plan of the search."""
    search = check.params.search
    if not search.enabled:
        return
    check.known("search.device", search.device, check.params.devices, "device")
    check.known("search.plan", search.plan, check.params.plans, "plan")
    if check.params.devices[search.device].runtime != "torch":
        check.refuse(
            "search.device", f"{search.device!r} runs llama.cpp; calibration measures torch, name such a device"
        )
    named = [name for name, model in check.params.models.items() if model.architecture.kind == "named"]
    for anchor in search.anchors:
        check.known("search.anchors", anchor, named, "named model")
    if search.budget.reference is not None:
        check.known("search.budget.reference", search.budget.reference, named, "named model")
    for tokenizer in search.space.tokenizers:
        check.known("search.space.tokenizers", tokenizer, check.params.tokenizers, "tokenizer")
    for axis, values in vars(search.space).items():
        if not values:
            check.refuse(f"search.space.{axis}", "is empty: name at least one value")
    odd = [size for size in search.space.head_dim if size % 2]
    if odd:
        check.refuse("search.space.head_dim", f"{odd[0]} is odd, and rotary positions turn pairs; make it even")
    if not search.rungs:
        check.refuse("search.rungs", "needs at least one rung of {slots, steps}")
    for number, (before, after) in enumerate(zip(search.rungs, search.rungs[1:]), 1):
        if after.slots > before.slots:
            check.refuse(
                f"search.rungs[{number}].slots", f"{after.slots} exceeds the {before.slots} of the rung before"
            )
    if search.rungs[-1].slots < len(searched(check)):
        check.refuse("search.rungs", f"the last rung's slots are fewer than the {len(searched(check))} searched models")
    if search.budget.max_params and search.budget.min_params > search.budget.max_params:
        check.refuse("search.budget.min_params", "exceeds max_params; lower it")


def devices(check: Checker) -> None:
    """Devices can be reached; profiles name what exists."""
    for name, device in check.params.devices.items():
        if device.kind == "ssh" and not device.host:
            check.refuse(f"devices.{name}.host", "a device of kind ssh needs its host")
    for name, profile in check.params.profiles.items():
        check.known(f"profiles.{name}.device", profile.device, check.params.devices, "device")
        for model in profile.models:
            check.known(f"profiles.{name}.models", model, check.params.models, "model")
