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
    with pytest.raises(ConfigError, match="bookshelf, demo, pangu_pi_pro_mini, tiny"):
        compose("demmo", [])


def test_compiling_is_recommended_where_it_pays_and_changes_nothing() -> None:
    short = parse(yaml.safe_load(compose("demo", [])[0]))
    assert suggestion(short) == []  # minutes of training
    long = parse(yaml.safe_load(compose("demo", ["plans.pretrain.steps=1000000"])[0]))
    [line] = suggestion(long)
    assert line.startswith("numerics.compile: false, but ") and "compose with numerics.compile=true" in line
    assert long.numerics.compile is False
    taken = parse(yaml.safe_load(compose("demo", ["plans.pretrain.steps=1000000", "numerics.compile=true"])[0]))
    assert suggestion(taken) == []
