"""Sources, tokenizers and corpora: what each job reads, and the keys that it depends on."""

from __future__ import annotations

from pocketlm.engines.graph.base import Config, manifests


def part_sources(config: Config, corpora: list[str]) -> list[str]:
    """Sources whose documents a list of corpora reads."""
    return sorted({part["source"] for name in corpora for part in config["corpora"][name]["parts"].values()})


def suite_sources(config: Config, suites: list[str]) -> list[str]:
    """Sources whose items a list of suites reads."""
    tasks = [task for name in suites for task in config["suites"][name]["tasks"].values()]
    return sorted({source for task in tasks for source in (task["source"], task["labels"]) if source})


def used_sources(config: Config) -> list[str]:
    """Sources that the run reads; a declared source that nothing uses is not downloaded."""
    return sorted({*part_sources(config, list(config["corpora"])), *suite_sources(config, list(config["suites"]))})


def source_keys(config: Config, source: str) -> list[str]:
    """Parameters of a download: the embedded source is made from ``world``."""
    embedded = config["sources"][source]["kind"] == "embedded"
    return [f"sources.{source}", *(["world"] if embedded else [])]


def tokenizer_data(config: Config, tokenizer: str) -> list[str]:
    """Manifests of the sources whose text a tokenizer is trained or counted on."""
    return manifests("data", part_sources(config, config["tokenizers"][tokenizer]["corpora"]))


def tokenizer_base(config: Config, tokenizer: str) -> list[str]:
    """Manifest of the tokenizer that a compressed one is cut from."""
    base = config["tokenizers"][tokenizer]["base"]
    return manifests("tokenizers", [base] if base else [])


def tokenizer_keys(config: Config, tokenizer: str) -> list[str]:
    """Parameters of a tokenizer: its entry, and what its corpora draw without what they hold out."""
    corpora = config["tokenizers"][tokenizer]["corpora"]
    drawn = [f"corpora.{name}.{key}" for name in corpora for key in ("parts", "validation")]
    return [f"tokenizers.{tokenizer}", *drawn]


def corpus_data(config: Config, corpus: str) -> list[str]:
    """Manifests of a corpus's sources, and of the evaluation items that are looked up in it."""
    items = suite_sources(config, config["corpora"][corpus]["decontaminate"])
    return manifests("data", sorted({*part_sources(config, [corpus]), *items}))


def whole(config: Config) -> list[str]:
    """Corpora that one job encodes."""
    return [name for name, corpus in config["corpora"].items() if corpus.get("shards", 1) == 1]


def sharded(config: Config) -> list[str]:
    """Corpora that several jobs encode side by side."""
    return [name for name in config["corpora"] if name not in whole(config)]


def corpus_shards(config: Config, corpus: str) -> list[str]:
    """Manifests of a corpus's shards, in order; none where one job encodes it."""
    if corpus in whole(config):
        return []
    return manifests("tokens", [f"{corpus}-{number}" for number in range(config["corpora"][corpus]["shards"])])


def corpus_tokenizer(config: Config, corpus: str) -> str:
    """Manifest of a corpus's tokenizer."""
    return manifests("tokenizers", [config["corpora"][corpus]["tokenizer"]])[0]


def corpus_keys(config: Config, corpus: str) -> list[str]:
    """Parameters of an encoding: its entry and the tasks that it is checked against."""
    suites = config["corpora"][corpus]["decontaminate"]
    return [f"corpora.{corpus}", *(f"suites.{name}.tasks" for name in suites), *heldout_keys(config, suites)]


def heldout_keys(config: Config, suites: list[str]) -> list[str]:
    """Parts of corpora that leave documents of these suites' sources out of training: the items are what is left."""
    sources = suite_sources(config, suites)
    return [
        f"corpora.{name}.parts"
        for name, corpus in config["corpora"].items()
        if any(part["source"] in sources and part["heldout"] for part in corpus["parts"].values())
    ]
