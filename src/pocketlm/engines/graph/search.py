"""The architecture search: rungs, slots, trials, and the keys that they depend on."""

from __future__ import annotations

from pocketlm.engines.graph.base import SINGLE, Config, manifests, names


def propose_keys(config: Config) -> list[str]:
    """Parameters of the proposal: space, budgets, slots, and the named models that take part."""
    search = [f"search.{key}" for key in ("space", "budget", "rungs", "anchors", "random", "seed")]
    reference = config["search"]["budget"]["reference"]
    named = sorted({*config["search"]["anchors"], *([reference] if reference else [])})
    anchors = [f"models.{name}.architecture" for name in named]
    vocabularies = [f"tokenizers.{name}.vocab_size" for name in config["search"]["space"]["tokenizers"]]
    return [*search, *anchors, *vocabularies]


def trial_keys(config: Config) -> list[str]:
    """Parameters of a proxy training."""
    return ["search.plan", f"plans.{config['search']['plan']}", "search.rungs", "search.seed", *SINGLE]


def random_keys(config: Config) -> list[str]:
    """Parameters of the random arm."""
    return [*trial_keys(config), "search.random"]


def select_keys(config: Config) -> list[str]:
    """Parameters of the choice of winners."""
    winners = [f"models.{name}.architecture" for name in names(config, "searched")]
    return ["search.epsilon", "search.separation", *winners]


def search_tokens(config: Config) -> list[str]:
    """Manifests of the trials' tokens."""
    return manifests("tokens", search_corpora(config))


def search_corpora(config: Config) -> list[str]:
    """Corpora of the trials: the proxy plan's own, and its twins under the other tokenizers of the space."""
    own = config["plans"][config["search"]["plan"]]["corpus"]
    parts, space = config["corpora"][own]["parts"], config["search"]["space"]["tokenizers"]
    twins = [n for n, c in config["corpora"].items() if c["parts"] == parts and c["tokenizer"] in space]
    return [own, *(name for name in twins if name != own)]


def slots(config: Config, rung: int) -> list[str]:
    """Trial files of one rung."""
    if rung < 0:
        return []
    return [f"results/search/trials/r{rung}-s{slot}.json" for slot in range(config["search"]["rungs"][rung]["slots"])]


def trials_before(config: Config, rung: str) -> list[str]:
    """Trial files of the rung before one."""
    return slots(config, int(rung) - 1)


def all_trials(config: Config) -> list[str]:
    """Trial files of all rungs."""
    return [path for rung in range(len(config["search"]["rungs"])) for path in slots(config, rung)]


def candidates(config: Config, rung: int | str) -> str:
    """The file that names the candidates of a rung."""
    return "results/search/proposal.json" if int(rung) == 0 else f"results/search/rung{rung}.json"


def first_candidates(config: Config) -> str:
    """The file that names the candidates of the first rung and of the random arm."""
    return candidates(config, 0)


def promoted(config: Config) -> list[str]:
    """Files of the rungs after the first."""
    return [candidates(config, rung) for rung in range(1, len(config["search"]["rungs"]))]
