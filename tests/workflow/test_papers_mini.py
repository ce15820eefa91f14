"""The papers' recipes at toy size, whole: each by Snakemake to the report; plans of a few steps, a tiny world."""

import json
from pathlib import Path

import pytest
import yaml
from stub import command, copy_project

from pocketlm.compose import compose, recipes

MINI = [name for name in recipes() if name.endswith("_mini")]
SMALL = [
    "world={people:16,places:16,objects:16,stories:600,dialogues:200,calls:200,items:20}",
    "devices.local={calibration:[32,64],repeats:2,quiet_seconds:0,prompts:[32],depths:[0],new_tokens:4}",
    "suites.world.max_new_tokens=12",
]
OWN = {
    "phonelm_mini": [
        "search.rungs=[{slots:4,steps:2},{slots:2,steps:4}]",
        "search.budget={max_prefill_ratio:2,max_decode_ratio:2}",  # so short a calibration measures little but noise
        "tokenizers.world.vocab_size=512",
    ],
    "pangu_pi_pro_mini": [
        "tokenizers.full.vocab_size=512",
        "tokenizers.world.vocab_size=384",
        "models.pro.inherit.batches=1",
    ],
}


def cut(recipe: str) -> list[str]:
    """Overrides that leave the recipe's DAG as it is and cut its work: six steps a plan."""
    plans = yaml.safe_load(compose(recipe, [])[0])["plans"]
    short = [f"plans.{name}.{key}" for name in plans for key in ("steps=6", "warmup=1", "validation_batches=2")]
    return [*SMALL, *OWN.get(recipe, ["tokenizers.world.vocab_size=512"]), *short]


@pytest.mark.parametrize("recipe", MINI)
def test_a_cut_recipe_has_the_same_entries(recipe: str) -> None:
    """What the long test below runs is the recipe: the same models, deployments and suites."""
    whole, short = (yaml.safe_load(compose(recipe, overrides)[0]) for overrides in ([], cut(recipe)))
    for key in ("models", "deployments", "profiles", "suites", "plans", "tokenizers"):
        assert short[key].keys() == whole[key].keys()
    assert {plan["steps"] for plan in short["plans"].values()} == {6}


@pytest.mark.full
@pytest.mark.chain
@pytest.mark.timeout(900)
@pytest.mark.parametrize("recipe", MINI)
def test_a_papers_recipe_runs_to_the_end(recipe: str, tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project", stubbed=False)
    command(folder, "pocketlm", "compose", f"recipe={recipe}", *cut(recipe))
    command(folder, "snakemake")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    for name, model in params["models"].items():
        for phase in ("base", "instruct", "call"):
            there = (folder / f"results/models/{name}/{phase}.manifest.json").is_file()
            assert there == (model[phase] is not None), f"{name} {phase}"
    rows = [row for path in folder.glob("results/scores/world/*.json") for row in json.loads(path.read_text())]
    scored = {(row["model"], row["phase"], row["scheme"]) for row in rows}
    shipped = {(d["model"], d["phase"], d["scheme"]) for d in params["deployments"].values()}
    assert shipped <= scored, f"not scored: {shipped - scored}"
    page = (folder / "results/report/index.html").read_text()
    [paper] = params["report"]["papers"]
    assert yaml.safe_load((folder / f"conf/papers/{paper}.yaml").read_text())["name"] in page
