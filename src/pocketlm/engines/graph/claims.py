"""Claims: what each comparison reads, and the keys that it depends on."""

from __future__ import annotations

from pocketlm.engines.graph.base import Config


def both_sides(config: Config, claim: str) -> list[str]:
    """The models of a claim, without repeat."""
    entry = config["claims"][claim]
    return list(dict.fromkeys([*entry["a"], *entry["b"]]))


def claim_metrics(config: Config, claim: str) -> list[str]:
    """Final losses of the models of a claim on losses; a claim on speed needs no training."""
    if config["claims"][claim]["metric"] != "bits_per_byte":
        return []
    return [f"results/models/{model}/base.metrics.json" for model in both_sides(config, claim)]


def claim_scores(config: Config, claim: str) -> list[str]:
    """Scores of the models on the claim's suite."""
    suite = config["claims"][claim]["suite"]
    return [f"results/scores/{suite}/{model}.json" for model in both_sides(config, claim)] if suite else []


def claim_facts(config: Config, claim: str) -> list[str]:
    """The measured speeds of a claim's profile."""
    profile = config["claims"][claim]["profile"]
    return [f"results/facts/{config['profiles'][profile]['device']}/{profile}.json"] if profile else []


def claim_files(config: Config) -> list[str]:
    """The result of every claim."""
    return [f"results/claims/{claim}.json" for claim in config.get("claims", {})]


def claim_artefacts(config: Config) -> list[str]:
    """Results, the table and the figure; none in a run without claims."""
    results = claim_files(config)
    return [*results, "results/claims/table.md", "results/claims/figure.svg"] if results else []
