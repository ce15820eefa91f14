"""What is trained: plans, shapes, models, inheritance."""

from __future__ import annotations

from pocketlm import schema
from pocketlm.checks.checker import Checker
from pocketlm.checks.shapes import impossible
from pocketlm.inheritance.fit import misfits


def plans(check: Checker) -> None:
    """Batches divide; schedules fit."""
    ranks = check.params.numerics.world_size
    for name, plan in check.params.plans.items():
        key = f"plans.{name}"
        check.known(f"{key}.corpus", plan.corpus, check.params.corpora, "corpus")
        if plan.batch_size % ranks:
            check.refuse(f"{key}.batch_size", f"{plan.batch_size} does not divide by numerics.world_size {ranks}")
        micro = plan.micro_batch or plan.batch_size // ranks
        if plan.batch_size % (micro * ranks):
            product = f"micro_batch {micro} x world_size {ranks}"
            check.refuse(f"{key}.micro_batch", f"batch_size {plan.batch_size} does not divide by {product}")
        if plan.warmup >= plan.steps * plan.rounds:
            check.refuse(f"{key}.warmup", f"{plan.warmup} steps of warm-up leave none of {plan.steps}; lower it")
        if plan.schedule == "wsd" and plan.decay_shape == "exponential" and not plan.floor:
            check.refuse(f"{key}.floor", "0 is never reached by an exponential decay; use 0.01 or so, or linear")
        for beta in ("beta1", "beta2"):
            if getattr(plan, beta) >= 1:
                check.refuse(f"{key}.{beta}", "must be below 1")
        if plan.rounds > 1 and not plan.round_share:
            check.refuse(f"{key}.round_share", "must be above 0 with more than one round")


def models(check: Checker) -> None:
    """Shapes divide; plans, tokenizers and phases fit together."""
    ranks = sorted(m.architecture.rank for m in searched(check).values() if m.architecture.rank is not None)
    for name, model in check.params.models.items():
        key = f"models.{name}"
        architecture(check, f"{key}.architecture", model.architecture)
        for phase in ("base", "instruct", "call"):
            plan = getattr(model, phase)
            if plan is not None:
                fits_plan(check, f"{key}.{phase}", model.architecture, plan)
        if model.inherit is not None:
            inherit(check, f"{key}.inherit", name, model.inherit)
        if model.architecture.kind == "imported" and model.base is not None:
            check.refuse(f"{key}.base", "an imported model enters trained; set it to null")
        if model.architecture.kind != "imported" and model.base is None:
            check.refuse(f"{key}.base", "a model that is not imported needs a plan for its base phase")
    if ranks != list(range(len(searched(check)))):
        check.refuse("models", f"the searched models' ranks {ranks} must be 0, 1, ... without gap or repeat")
    if ranks and not check.params.search.enabled:
        check.refuse("search.enabled", "is false, but a model is searched; enable it or name the model's shape")


def inherit(check: Checker, key: str, name: str, how: schema.Inherit) -> None:
    """A source that is there, with the phase and the tokenizer, and large enough where both shapes are known."""
    models = check.params.models
    check.known(f"{key}.model", how.model, models.keys() - {name}, "other model")
    own, source = models[name], models[how.model]
    if own.architecture.kind == "imported":
        check.refuse(key, "an imported model enters trained; set it to null")
    if getattr(source, how.phase) is None and (how.phase != "base" or source.architecture.kind != "imported"):
        check.refuse(f"{key}.phase", f"model {how.model!r} has no phase {how.phase}")
    line = [name]
    while (how_next := models[line[-1]].inherit) is not None:
        if how_next.model in line:
            check.refuse(f"{key}.model", f"{' from '.join([*line, how_next.model])}: inherits from itself")
        line.append(how_next.model)
    tokenizer = check.params.tokenizers[own.architecture.tokenizer]
    if source.architecture.tokenizer not in (own.architecture.tokenizer, tokenizer.base):
        remedy = "both must have the same, or this model one that is compressed from the other's"
        check.refuse(f"{key}.model", f"{how.model!r} has another tokenizer; {remedy}")
    if own.architecture.kind == source.architecture.kind == "named":
        for problem in misfits(source.architecture, own.architecture):
            check.refuse(key, problem)


def searched(check: Checker) -> dict[str, schema.Model]:
    """Models whose shape the search finds."""
    return {name: model for name, model in check.params.models.items() if model.architecture.kind == "searched"}


def architecture(check: Checker, key: str, arch: schema.Architecture) -> None:
    """One decoder's shape."""
    check.known(f"{key}.tokenizer", arch.tokenizer, check.params.tokenizers, "tokenizer")
    if arch.kind == "searched" and arch.rank is None:
        check.refuse(f"{key}.rank", "a searched model needs its rank (0 is the best)")
    if arch.kind == "imported" and not arch.path:
        check.refuse(f"{key}.path", "an imported model needs the path of its Hugging Face folder")
    if arch.kind == "named":
        for field, problem in impossible(arch):
            check.refuse(f"{key}.{field}", problem)


def fits_plan(check: Checker, key: str, arch: schema.Architecture, plan_name: str) -> None:
    """One model under one plan."""
    check.known(key, plan_name, check.params.plans, "plan")
    plan = check.params.plans[plan_name]
    if arch.kind != "imported" and plan.seq_len > arch.max_seq_len:
        limit = f"the model's max_seq_len {arch.max_seq_len}"
        check.refuse(f"plans.{plan_name}.seq_len", f"{plan.seq_len} exceeds {limit}; shorten it or raise that")
    tokenizer = check.params.corpora[plan.corpus].tokenizer
    if tokenizer != arch.tokenizer:
        check.refuse(
            key, f"plan {plan_name} reads tokens of {tokenizer!r}, the model's tokenizer is {arch.tokenizer!r}"
        )
