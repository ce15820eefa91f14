"""The grid and its filters against plain loops; fronts against O(n^2); ranks against scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pocketlm.config import Architecture, Budget, ConfigError, Rung, Search, Space
from pocketlm.model import counts
from pocketlm.profiling.predictor import Predictor, columns
from pocketlm.profiling.shapes import as_point
from pocketlm.search import pareto, ranks
from pocketlm.search.propose import propose
from pocketlm.search.space import costs, enumerate_space, within

SPACE = Space(
    tokenizers=["small", "large"],
    n_layers=[2, 5],
    d_model=[48, 64, 96],
    head_dim=[16, 32],
    kv_share=[1, 2, 3],
    ffn_ratio=[1.0, 2.7],
    activation=["silu", "relu"],
    gated=[True, False],
    tied=[True, False],
    sharing=[1, 2],
)
VOCABULARIES = {"small": 300, "large": 1000}
COEFFICIENTS = {"block": 0.1, "weights": 1e-6, "head": 1e-6, "act_silu": 1e-4}
PREDICTOR = Predictor({"prefill": COEFFICIENTS | {"matmul": 1e-8}, "decode": COEFFICIENTS})
BUDGET = Budget(min_params=60_000, max_params=400_000, max_memory_mib=1.4, max_prefill_ms=1.2, max_decode_ms=0.9)


def by_hand() -> list[tuple]:
    """Every candidate whose heads divide, by nested loops."""
    found = []
    axes = (SPACE.tokenizers, SPACE.n_layers, SPACE.d_model, SPACE.head_dim, SPACE.kv_share, SPACE.ffn_ratio)
    for values in itertools.product(*axes, SPACE.activation, SPACE.gated, SPACE.tied, SPACE.sharing):
        tokenizer, layers, width, head_dim, share, ratio, act, gated, tied, sharing = values
        if width % head_dim or (width // head_dim) % share:
            continue
        heads = width // head_dim
        arch = Architecture(
            kind="searched", tokenizer=tokenizer, n_layers=layers, d_model=width, n_heads=heads,
            n_kv_heads=heads // share, head_dim=head_dim, d_ff=round(width * ratio / 8) * 8, activation=act,
            gated=gated, tied=tied, sharing=sharing,
        )  # fmt: skip
        found.append(arch)
    return found


def test_enumeration_equals_nested_loops() -> None:
    candidates, grid = enumerate_space(SPACE, VOCABULARIES)
    assert grid == 2 * 2 * 3 * 2 * 3 * 2 * 2 * 2 * 2 * 2
    assert [candidates.architecture(i) for i in range(len(candidates))] == by_hand()


def test_filter_equals_brute_force() -> None:
    candidates, _ = enumerate_space(SPACE, VOCABULARIES)
    masks = within(costs(candidates, PREDICTOR, BUDGET), BUDGET, {"prefill_ms": 1.2, "decode_ms": 0.9})
    expected = []
    for arch in by_hand():
        vocab = VOCABULARIES[arch.tokenizer]
        block = 2 * arch.d_model * arch.head_dim * (arch.n_heads + arch.n_kv_heads)
        matrices = block + arch.d_model * arch.d_ff * (3 if arch.gated else 2)
        size = (
            vocab * arch.d_model * (1 if arch.tied else 2)
            + arch.n_layers * (matrices + 2 * arch.d_model)
            + arch.d_model
        )
        cache = 2 * arch.n_kv_heads * arch.head_dim * arch.n_layers * arch.sharing * 256 * 4
        point = columns([as_point(arch, vocab)])
        prefill = PREDICTOR.predict(point, 128, "prefill")[0]
        decode = PREDICTOR.predict(point, 128, "decode")[0]
        memory = (4 * size + cache) / 2**20
        expected.append((60_000 <= size <= 400_000, memory <= 1.4, prefill <= 1.2, decode <= 0.9))
    assert [tuple(map(bool, row)) for row in zip(*masks.values())] == expected
    passed = [sum(column) for column in zip(*expected)]
    assert all(0 < count < len(expected) for count in passed)  # each bound says something


def test_refuses_an_empty_axis_and_an_unknown_activation() -> None:
    with pytest.raises(ConfigError, match="search.space.tokenizers"):
        enumerate_space(Space(), {})
    with pytest.raises(ConfigError, match="swish"):
        enumerate_space(Space(**{**vars(SPACE), "activation": ["swish"]}), VOCABULARIES)


def search(**changes) -> Search:
    given = {"space": SPACE, "budget": BUDGET, "rungs": [Rung(5, 2), Rung(2, 6)], "random": 3, "anchors": ["thin"]}
    return Search(**{**given, **changes})


THIN = {"thin": Architecture(tokenizer="small", n_layers=5, d_model=48, n_heads=3, n_kv_heads=1, head_dim=16, d_ff=128)}


def test_proposal_is_deterministic_feasible_and_diverse() -> None:
    found = propose(search(), THIN, VOCABULARIES, PREDICTOR)
    assert found == propose(search(), THIN, VOCABULARIES, PREDICTOR)
    assert [slot["anchor"] for slot in found["slots"]] == ["thin", None, None, None, None]
    for record in found["slots"][1:] + found["random"]:
        assert 60_000 <= record["params"] <= 400_000 and record["predicted"]["decode_ms"] <= 0.9
        assert record["params"] == counts.params(Architecture(**record["architecture"]), record["vocab_size"])
    chosen = [slot["architecture"] for slot in found["slots"][1:]]
    assert len({(a["n_layers"], a["d_model"], a["sharing"]) for a in chosen}) >= 3
    assert found["random"] != propose(search(seed=1), THIN, VOCABULARIES, PREDICTOR)["random"]


def test_latency_bound_relative_to_a_reference() -> None:
    budget = Budget(max_params=10**9, reference="thin", max_decode_ratio=1.0)
    found = propose(search(budget=budget), THIN, VOCABULARIES, PREDICTOR)
    own = PREDICTOR.predict(columns([as_point(THIN["thin"], 300)]), 128, "decode")[0]
    assert found["bounds"] == {"prefill_ms": 0.0, "decode_ms": pytest.approx(own, rel=1e-5)}
    assert all(record["predicted"]["decode_ms"] <= own * 1.00001 for record in found["slots"][1:])


def test_refuses_a_budget_that_leaves_nothing_and_too_many_anchors() -> None:
    with pytest.raises(ConfigError, match="loosen the bound"):
        propose(search(budget=Budget(max_params=10)), THIN, VOCABULARIES, PREDICTOR)
    with pytest.raises(ConfigError, match="more slots than anchors"):
        propose(search(rungs=[Rung(1, 2)]), THIN, VOCABULARIES, PREDICTOR)


def dominated(points: list[tuple[float, float]], i: int) -> bool:
    x, y = points[i]
    return any(a <= x and b <= y and (a < x or b < y) for a, b in points)


@pytest.mark.parametrize("seed", range(8))
def test_front_and_layers_equal_the_quadratic_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [tuple(map(float, p)) for p in rng.integers(0, 12, size=(60, 2))]  # ties in plenty
    expected = [not dominated(points, i) for i in range(len(points))]
    assert pareto.front_mask(*zip(*points)).tolist() == expected
    left, level, number = set(range(len(points))), 0, {}
    while left:
        rest = sorted(left)
        front = {rest[k] for k in range(len(rest)) if not dominated([points[i] for i in rest], k)}
        number |= dict.fromkeys(front, level)
        left, level = left - front, level + 1
    assert pareto.layers(*zip(*points)) == [number[i] for i in range(len(points))]


def test_knee_of_a_bent_front() -> None:
    assert pareto.knee([1.0, 2.0, 10.0], [10.0, 2.0, 1.0]) == 1
    assert pareto.knee([3.0], [1.0]) == 0


def test_ranks_equal_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(3)
    for _ in range(20):
        xs, ys = rng.integers(0, 6, 9).tolist(), rng.integers(0, 6, 9).tolist()
        assert ranks.kendall(xs, ys) == pytest.approx(stats.kendalltau(xs, ys).statistic)
        assert ranks.spearman(xs, ys) == pytest.approx(stats.spearmanr(xs, ys).statistic)
    assert ranks.agreement([1.0, 1.0], [1.0, 2.0]) == {"n": 2, "kendall": None, "spearman": None}
