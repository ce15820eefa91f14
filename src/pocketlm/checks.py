"""Impossible combinations of parameters, refused before any job starts. Each message: file, key, remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Never

from pocketlm import config as schema
from pocketlm.allowed import problems
from pocketlm.config import Params
from pocketlm.deployable import unsupported
from pocketlm.inheritance.fit import misfits

SPECIALS = 6  # <|endoftext|> <|pad|> <|user|> <|assistant|> <|end|> <|system|>
SMALLEST_VOCABULARY = 256 + SPECIALS
WORLD_AT_MOST = {"people": 48, "places": 16, "objects": 24}  # names that data/world has
SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")


class Checker:
    """Walks the parameters; the first impossible value raises ConfigError."""

    def __init__(self, params: Params, name: str) -> None:
        self.params, self.name = params, name

    def refuse(self, key: str, problem: str) -> Never:
        """Stop with one line."""
        raise schema.ConfigError(f"{self.name}: {key}: {problem}")

    def known(self, key: str, value: str | None, among: Iterable[str], what: str) -> None:
        """Refuse a reference to an entry that is not there."""
        names = sorted(among)
        if value not in names:
            self.refuse(key, f"no {what} {value!r}; there are: {', '.join(names) or 'none'}")

    def entry_names(self) -> None:
        """Entries name files and DVC stages: letters, digits and underscores."""
        for group in (
            *("sources", "tokenizers", "corpora", "plans"),
            *("models", "devices", "profiles", "suites", "claims"),
        ):
            for name in getattr(self.params, group):
                if not re.fullmatch(r"\w+", name, re.ASCII):
                    self.refuse(f"{group}.{name}", "a name has letters, digits and underscores only; rename it")
        if "calibration" in self.params.profiles:
            self.refuse("profiles.calibration", "this name belongs to the calibration of the device; rename it")

    # ---- data

    def world(self) -> None:
        """The embedded world deals its facts out evenly."""
        for name, most in WORLD_AT_MOST.items():
            value = getattr(self.params.world, name)
            if value % 8 or not 16 <= value <= most:
                self.refuse(f"world.{name}", f"{value}: choose a multiple of 8 from 16 to {most}")

    def sources(self) -> None:
        """Every fetched byte is pinned."""
        for name, source in self.params.sources.items():
            key = f"sources.{name}"
            needs = {"url": ("url", "sha256"), "path": ("path", "sha256"), "hub": ("repo", "revision"), "embedded": ()}
            for field in needs[source.kind]:
                if not getattr(source, field):
                    self.refuse(f"{key}.{field}", f"a source of kind {source.kind} needs it; see: pocketlm pin --help")
            for field, digest in (("sha256", source.sha256), *source.files.items()):
                if digest is not None and not SHA256.fullmatch(digest):
                    self.refuse(f"{key}.{field}", f"{digest!r} is no sha256 (64 lower-case hex digits)")
            if source.kind == "hub" and not COMMIT.fullmatch(source.revision or ""):
                self.refuse(
                    f"{key}.revision", f"{source.revision!r} is no commit (40 hex digits); see: pocketlm pin --help"
                )

    def tokenizers(self) -> None:
        """Vocabularies hold the byte alphabet; what they are made from exists."""
        for name, entry in self.params.tokenizers.items():
            key = f"tokenizers.{name}"
            if entry.vocab_size < SMALLEST_VOCABULARY:
                self.refuse(
                    f"{key}.vocab_size",
                    f"{entry.vocab_size} is below the byte alphabet and {SPECIALS} special tokens; "
                    f"use at least {SMALLEST_VOCABULARY}",
                )
            for corpus in entry.corpora:
                self.known(f"{key}.corpora", corpus, self.params.corpora, "corpus")
            if entry.kind in ("bpe", "compressed") and not entry.corpora:
                self.refuse(f"{key}.corpora", f"a tokenizer of kind {entry.kind} needs at least one corpus")
            if entry.kind == "imported" and not entry.path:
                self.refuse(f"{key}.path", "an imported tokenizer needs the path of its Hugging Face folder")
            if entry.kind == "compressed":
                self.known(f"{key}.base", entry.base, set(self.params.tokenizers) - {name}, "tokenizer")

    def corpora(self) -> None:
        """Parts and tokenizers exist."""
        for name, corpus in self.params.corpora.items():
            key = f"corpora.{name}"
            self.known(f"{key}.tokenizer", corpus.tokenizer, self.params.tokenizers, "tokenizer")
            if not corpus.parts:
                self.refuse(f"{key}.parts", "a corpus needs at least one part")
            if not 0 < corpus.validation < 1:
                self.refuse(f"{key}.validation", f"{corpus.validation} must lie between 0 and 1, both excluded")
            for part, entry in corpus.parts.items():
                self.known(f"{key}.parts.{part}.source", entry.source, self.params.sources, "source")
            for suite in corpus.decontaminate:
                self.known(f"{key}.decontaminate", suite, self.params.suites, "suite")

    def suites(self) -> None:
        """Items of tasks exist; a chance is a probability."""
        for name, suite in self.params.suites.items():
            for task, entry in suite.tasks.items():
                key = f"suites.{name}.tasks.{task}"
                self.known(f"{key}.source", entry.source, self.params.sources, "source")
                if entry.labels is not None:
                    self.known(f"{key}.labels", entry.labels, self.params.sources, "source")
                if entry.chance is not None and entry.chance > 1:
                    self.refuse(f"{key}.chance", f"{entry.chance} is a probability and must be at most 1")

    # ---- training and models

    def plans(self) -> None:
        """Batches divide; schedules fit."""
        ranks = self.params.numerics.world_size
        for name, plan in self.params.plans.items():
            key = f"plans.{name}"
            self.known(f"{key}.corpus", plan.corpus, self.params.corpora, "corpus")
            if plan.batch_size % ranks:
                self.refuse(f"{key}.batch_size", f"{plan.batch_size} does not divide by numerics.world_size {ranks}")
            micro = plan.micro_batch or plan.batch_size // ranks
            if plan.batch_size % (micro * ranks):
                product = f"micro_batch {micro} x world_size {ranks}"
                self.refuse(f"{key}.micro_batch", f"batch_size {plan.batch_size} does not divide by {product}")
            if plan.warmup >= plan.steps * plan.rounds:
                self.refuse(f"{key}.warmup", f"{plan.warmup} steps of warm-up leave none of {plan.steps}; lower it")
            for beta in ("beta1", "beta2"):
                if getattr(plan, beta) >= 1:
                    self.refuse(f"{key}.{beta}", "must be below 1")
            if plan.rounds > 1 and not plan.round_share:
                self.refuse(f"{key}.round_share", "must be above 0 with more than one round")

    def models(self) -> None:
        """Shapes divide; plans, tokenizers and phases fit together."""
        ranks = sorted(m.architecture.rank for m in self.searched().values() if m.architecture.rank is not None)
        for name, model in self.params.models.items():
            key = f"models.{name}"
            self.architecture(f"{key}.architecture", model.architecture)
            for phase in ("base", "instruct", "call"):
                plan = getattr(model, phase)
                if plan is not None:
                    self.phase(f"{key}.{phase}", model.architecture, plan)
            if model.inherit is not None:
                self.inherit(f"{key}.inherit", name, model.inherit)
            if model.architecture.kind == "imported" and model.base is not None:
                self.refuse(f"{key}.base", "an imported model enters trained; set it to null")
            if model.architecture.kind != "imported" and model.base is None:
                self.refuse(f"{key}.base", "a model that is not imported needs a plan for its base phase")
        if ranks != list(range(len(self.searched()))):
            self.refuse("models", f"the searched models' ranks {ranks} must be 0, 1, ... without gap or repeat")
        if ranks and not self.params.search.enabled:
            self.refuse("search.enabled", "is false, but a model is searched; enable it or name the model's shape")

    def inherit(self, key: str, name: str, how: schema.Inherit) -> None:
        """A source that is there, with the phase and the tokenizer, and large enough where both shapes are known."""
        models = self.params.models
        self.known(f"{key}.model", how.model, models.keys() - {name}, "other model")
        own, source = models[name], models[how.model]
        if own.architecture.kind == "imported":
            self.refuse(key, "an imported model enters trained; set it to null")
        if getattr(source, how.phase) is None and (how.phase != "base" or source.architecture.kind != "imported"):
            self.refuse(f"{key}.phase", f"model {how.model!r} has no phase {how.phase}")
        line = [name]
        while (how_next := models[line[-1]].inherit) is not None:
            if how_next.model in line:
                self.refuse(f"{key}.model", f"{' from '.join([*line, how_next.model])}: inherits from itself")
            line.append(how_next.model)
        tokenizer = self.params.tokenizers[own.architecture.tokenizer]
        if source.architecture.tokenizer not in (own.architecture.tokenizer, tokenizer.base):
            remedy = "both must have the same, or this model one that is compressed from the other's"
            self.refuse(f"{key}.model", f"{how.model!r} has another tokenizer; {remedy}")
        if own.architecture.kind == source.architecture.kind == "named":
            for problem in misfits(source.architecture, own.architecture):
                self.refuse(key, problem)

    def searched(self) -> dict[str, schema.Model]:
        """Models whose shape the search finds."""
        return {name: model for name, model in self.params.models.items() if model.architecture.kind == "searched"}

    def architecture(self, key: str, arch: schema.Architecture) -> None:
        """One decoder's shape."""
        self.known(f"{key}.tokenizer", arch.tokenizer, self.params.tokenizers, "tokenizer")
        if arch.kind == "searched" and arch.rank is None:
            self.refuse(f"{key}.rank", "a searched model needs its rank (0 is the best)")
        if arch.kind == "imported" and not arch.path:
            self.refuse(f"{key}.path", "an imported model needs the path of its Hugging Face folder")
        if arch.kind != "named":
            return
        if arch.n_heads % arch.n_kv_heads:
            self.refuse(f"{key}.n_kv_heads", f"{arch.n_kv_heads} does not divide n_heads {arch.n_heads}")
        if arch.head_dim % 2:
            self.refuse(f"{key}.head_dim", f"{arch.head_dim} is odd, and rotary positions turn pairs; make it even")
        if arch.shortcuts and arch.d_model % arch.shortcut_ratio:
            self.refuse(f"{key}.shortcut_ratio", f"{arch.shortcut_ratio} does not divide d_model {arch.d_model}")

    def phase(self, key: str, arch: schema.Architecture, plan_name: str) -> None:
        """One model under one plan."""
        self.known(key, plan_name, self.params.plans, "plan")
        plan = self.params.plans[plan_name]
        if arch.kind != "imported" and plan.seq_len > arch.max_seq_len:
            limit = f"the model's max_seq_len {arch.max_seq_len}"
            self.refuse(f"plans.{plan_name}.seq_len", f"{plan.seq_len} exceeds {limit}; shorten it or raise that")
        tokenizer = self.params.corpora[plan.corpus].tokenizer
        if tokenizer != arch.tokenizer:
            self.refuse(
                key, f"plan {plan_name} reads tokens of {tokenizer!r}, the model's tokenizer is {arch.tokenizer!r}"
            )

    # ---- search, devices, deployments

    def search(self) -> None:
        """Space, rungs, device and plan of the search."""
        search = self.params.search
        if not search.enabled:
            return
        self.known("search.device", search.device, self.params.devices, "device")
        self.known("search.plan", search.plan, self.params.plans, "plan")
        if self.params.devices[search.device].runtime != "torch":
            self.refuse(
                "search.device", f"{search.device!r} runs llama.cpp; calibration measures torch, name such a device"
            )
        named = [name for name, model in self.params.models.items() if model.architecture.kind == "named"]
        for anchor in search.anchors:
            self.known("search.anchors", anchor, named, "named model")
        if search.budget.reference is not None:
            self.known("search.budget.reference", search.budget.reference, named, "named model")
        for tokenizer in search.space.tokenizers:
            self.known("search.space.tokenizers", tokenizer, self.params.tokenizers, "tokenizer")
        for axis, values in vars(search.space).items():
            if not values:
                self.refuse(f"search.space.{axis}", "is empty: name at least one value")
        odd = [size for size in search.space.head_dim if size % 2]
        if odd:
            self.refuse("search.space.head_dim", f"{odd[0]} is odd, and rotary positions turn pairs; make it even")
        if not search.rungs:
            self.refuse("search.rungs", "needs at least one rung of {slots, steps}")
        for number, (before, after) in enumerate(zip(search.rungs, search.rungs[1:]), 1):
            if after.slots > before.slots:
                self.refuse(
                    f"search.rungs[{number}].slots", f"{after.slots} exceeds the {before.slots} of the rung before"
                )
        if search.rungs[-1].slots < len(self.searched()):
            self.refuse(
                "search.rungs", f"the last rung's slots are fewer than the {len(self.searched())} searched models"
            )
        if search.budget.max_params and search.budget.min_params > search.budget.max_params:
            self.refuse("search.budget.min_params", "exceeds max_params; lower it")

    def devices(self) -> None:
        """Devices can be reached; profiles name what exists."""
        for name, device in self.params.devices.items():
            if device.kind == "ssh" and not device.host:
                self.refuse(f"devices.{name}.host", "a device of kind ssh needs its host")
        for name, profile in self.params.profiles.items():
            self.known(f"profiles.{name}.device", profile.device, self.params.devices, "device")
            for model in profile.models:
                self.known(f"profiles.{name}.models", model, self.params.models, "model")

    def deployments(self) -> None:
        """A deployment's model has the phase, and its runtime the operators."""
        for name, entry in self.params.deployments.items():
            key = f"deployments.{name}"
            self.known(f"{key}.model", entry.model, self.params.models, "model")
            model = self.params.models[entry.model]
            imported = model.architecture.kind == "imported" and entry.phase == "base"
            if getattr(model, entry.phase) is None and not imported:
                self.refuse(
                    f"{key}.phase", f"model {entry.model!r} has no phase {entry.phase}; give it a plan or leave it out"
                )
            gguf = entry.scheme.startswith("gguf")
            if gguf != (entry.runtime == "llamacpp"):
                self.refuse(
                    f"{key}.runtime", f"{entry.runtime} does not run {entry.scheme}; gguf needs llamacpp, others torch"
                )
            named = gguf and model.architecture.kind == "named"
            reason = unsupported(model.architecture, entry.scheme) if named else None
            if reason:
                self.refuse(f"{key}.scheme", f"{reason}; leave {entry.scheme} out")

    def claims(self) -> None:
        """The two sides of a claim are pairs of one seed each, and what they are compared by is measured."""
        for name, claim in self.params.claims.items():
            key = f"claims.{name}"
            for side in ("a", "b"):
                for model in getattr(claim, side):
                    self.known(f"{key}.{side}", model, self.params.models, "model")
            seeds = [[self.params.models[model].seed for model in side] for side in (claim.a, claim.b)]
            if not claim.a or seeds[0] != seeds[1]:
                self.refuse(f"{key}.b", f"seeds {seeds[1]} are not those of a, {seeds[0]}; pair models by seed")
            if claim.suite is not None:
                self.known(f"{key}.suite", claim.suite, self.params.suites, "suite")
            if claim.metric == "bits_per_byte":
                continue
            self.known(f"{key}.profile", claim.profile, self.params.profiles, "profile")
            for model in (*claim.a, *claim.b):
                self.known(
                    f"profiles.{claim.profile}.models", model, self.params.profiles[str(claim.profile)].models, "model"
                )


def check(params: Params, name: str = "params.yaml") -> None:
    """Raise ConfigError at the first value that cannot work."""
    checker = Checker(params, name)
    for key, problem in problems(params):
        checker.refuse(key, problem)
    steps: list[Callable[[], None]] = [
        *(checker.entry_names, checker.world, checker.sources, checker.tokenizers, checker.corpora, checker.suites),
        *(checker.plans, checker.models, checker.search, checker.devices, checker.deployments),
        checker.claims,
    ]
    for step in steps:
        step()
    if params.numerics.device == "cpu" and params.numerics.world_size > 1 and params.numerics.compile:
        checker.refuse("numerics.compile", "is not supported with several CPU ranks; set it to false")
