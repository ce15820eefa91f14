"""Every shipped recipe composes, to the same bytes each time; what cannot exist is left out with a reason."""

from pathlib import Path

import pytest
import yaml

from pocketlm.compose import check, compose, recipes, suggestion
from pocketlm.config import ConfigError, as_dict, load, parse

ROOT = Path(__file__).resolve().parents[2]
RUNS = [path.parent for path in [ROOT / "params.yaml", *sorted(ROOT.glob("runs/*/params.yaml"))]]


@pytest.mark.parametrize("recipe", recipes())
def test_recipe_is_complete_and_reproducible(recipe: str) -> None:
    text, _ = compose(recipe, [])
    assert compose(recipe, [])[0] == text
    params = parse(yaml.safe_load(text))
    assert params._recipe == recipe
    assert as_dict(params) == yaml.safe_load(text), "a key is missing in params.yaml"


@pytest.mark.parametrize("run", RUNS, ids=lambda path: path.name)
def test_committed_parameters_are_rederivable(run: Path) -> None:
    check(run / "params.yaml")


def test_override_is_kept_and_checked(tmp_path: Path) -> None:
    text, _ = compose("tiny", ["plans.pretrain.steps=7", "numerics.precision=bf16"])
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert load(path).plans["pretrain"].steps == 7
    check(path)
    path.write_text(text.replace("steps: 7", "steps: 9"))
    with pytest.raises(ConfigError, match=r"steps: 9.*pocketlm compose recipe=tiny"):
        check(path)


def test_gated_relu_is_left_out_of_llama_cpp() -> None:
    text, left_out = compose("demo", [])
    deployments = yaml.safe_load(text)["deployments"]
    assert "phonelm-call-int8" in deployments
    assert "phonelm-call-gguf_q8_0" not in deployments
    assert any("phonelm call as gguf_q8_0" in line and "relu" in line for line in left_out)
    assert deployments["mobilellm-call-gguf_q8_0"]["runtime"] == "llamacpp"


@pytest.mark.parametrize(
    "override, words",
    [
        ("plans.pretrain.stesp=7", "stesp"),
        ("plans.pretrain.steps=many", "steps"),
        ("numerics.precision=fp8", "fp8"),
        ("model@models.mobilellm.architecture=gpt5", "gpt5"),
    ],
)
def test_bad_override_is_one_line(override: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose("tiny", [override])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_recipe_names_the_known() -> None:
    with pytest.raises(
        ConfigError,
        match="bookshelf, claims, demo, mobilellm_full, mobilellm_ls_full, mobilellm_ls_mini, mobilellm_mini, pangu_pi",
    ):
        compose("demmo", [])


FULL = [name for name in recipes() if name.endswith("_full")]


@pytest.mark.parametrize("recipe", FULL)
def test_full_recipes_name_their_data_and_ask_for_pins(recipe: str) -> None:
    """Published data by hub id, with weights; a download that is not pinned yet says how to pin it."""
    from pocketlm.data.hub import check as check_hub

    params = parse(yaml.safe_load(compose(recipe, [])[0]))
    assert params.sources and {source.kind for source in params.sources.values()} == {"hub"}
    for name, source in params.sources.items():
        with pytest.raises(ConfigError, match=f"sources.{name}.*pocketlm pin --repo {source.repo}"):
            check_hub(source, name)


@pytest.mark.parametrize("recipe, paper", [
    ("mobilellm_full", "mobilellm"), ("mobilellm_ls_full", "mobilellm"), ("phonelm_full", "phonelm"),
])  # fmt: skip
def test_full_recipes_have_the_tasks_of_the_published_table(recipe: str, paper: str) -> None:
    """Zero-shot, on all items, for the bf16 base that the table is of."""
    params = parse(yaml.safe_load(compose(recipe, [])[0]))
    table = yaml.safe_load((ROOT / f"conf/papers/{paper}.yaml").read_text())
    suite = params.suites[table["suite"]]
    assert suite.tasks.keys() == table["tasks"].keys() and suite.phases == ["base"]
    assert {(task.num_fewshot, task.limit) for task in suite.tasks.values()} == {(0, None)}


@pytest.mark.parametrize("recipe, model, tokens", [
    ("phonelm_full", "stable", 1.518e12), ("phonelm_full", "phonelm", 19.9e9),
    ("mobilellm_full", "mobilellm", 1.007e12), ("mobilellm_ls_full", "mobilellm", 1.007e12),
    ("pangu_pi_pro_full", "pro", 1.6e12),
])  # fmt: skip
def test_full_recipes_read_the_published_tokens(recipe: str, model: str, tokens: float) -> None:
    """Steps x batch x length of the first round; PanGu-pi Pro's second one reads half of that again."""
    params = parse(yaml.safe_load(compose(recipe, [])[0]))
    plan = params.plans[str(params.models[model].base)]
    assert plan.steps * plan.batch_size * plan.seq_len == pytest.approx(tokens, rel=0.005)
    assert (plan.rounds, plan.round_share) == ((2, 0.5) if model == "pro" else (1, plan.round_share))


@pytest.mark.parametrize("model, tokens", [("stable", 1.518e12), ("phonelm", 19.9e9)])
def test_phonelm_mixes_the_published_tokens(model: str, tokens: float) -> None:
    """The weights of a mixture, in billions, are what the README adds up to."""
    params = parse(yaml.safe_load(compose("phonelm_full", [])[0]))
    parts = params.corpora[params.plans[str(params.models[model].base)].corpus].parts.values()
    assert 1e9 * sum(part.weight for part in parts) == pytest.approx(tokens, rel=0.005)


@pytest.mark.parametrize("recipe, model, name", [
    ("phonelm_full", "phonelm", "phonelm_1_5b"), ("mobilellm_full", "mobilellm", "mobilellm_125m"),
    ("mobilellm_ls_full", "mobilellm", "mobilellm_ls_125m"), ("pangu_pi_pro_full", "pro", "pangu_pi_1b_pro"),
])  # fmt: skip
def test_full_recipes_have_the_published_shape(recipe: str, model: str, name: str) -> None:
    """Every number of the shape, and the vocabulary; tests/model/test_counts.py counts the shapes."""
    params = parse(yaml.safe_load(compose(recipe, [])[0]))
    arch = params.models[model].architecture
    shape = yaml.safe_load((ROOT / f"conf/model/{name}.yaml").read_text())
    assert {key: getattr(arch, key) for key in shape} == shape
    published = yaml.safe_load((ROOT / "conf/sizes.yaml").read_text())[name]
    assert params.tokenizers[arch.tokenizer].vocab_size == published["vocab_size"]


def test_compiling_is_recommended_where_it_pays_and_changes_nothing() -> None:
    short = parse(yaml.safe_load(compose("demo", [])[0]))
    assert suggestion(short) == []  # minutes of training
    long = parse(yaml.safe_load(compose("demo", ["plans.pretrain.steps=1000000"])[0]))
    [line] = suggestion(long)
    assert line.startswith("numerics.compile: false, but ") and "compose with numerics.compile=true" in line
    assert long.numerics.compile is False
    for numerics in (["numerics.compile=true"], ["numerics.precision=bf16"]):  # taken; slower so (docs/benchmarks.md)
        params = parse(yaml.safe_load(compose("demo", ["plans.pretrain.steps=1000000", *numerics])[0]))
        assert suggestion(params) == []
