"""Our scores are lm-eval's: the same tasks through its HFLM on the exported folder give the same numbers."""

import json

import pytest

from pocketlm import config
from pocketlm.scoring import evaluate, tasks

WORDS = ["kitchen", "garden", "hall", "red ball"]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """One source folder with a file for each template."""
    folder = tmp_path_factory.mktemp("data") / "local"
    folder.mkdir()
    mc = [{"query": f"Anna has {i} apples. She is in the", "choices": WORDS, "gold": i % 4} for i in range(12)]
    write(folder / "mc.jsonl", mc)
    long = "The ball is in the kitchen, not in the garden. " * 12
    write(
        folder / "boolq.jsonl",
        [
            {"query": f"Passage: {long[: 40 + 90 * i]}\nQuestion: is it {i}?", "choices": ["no", "yes"], "gold": i % 2}
            for i in range(5)
        ],
    )
    write(
        folder / "winogrande.jsonl",
        [
            {
                "context_options": [f"Ben met Carla {i} times so Ben", f"Ben met Carla {i} times so Carla"],
                "continuation": "was glad.",
                "gold": i % 2,
            }
            for i in range(5)
        ],
    )
    write(
        folder / "calls.jsonl",
        [
            {
                "messages": [{"role": "user", "content": f"Set an alarm for {i}:30"}],
                "group": ["seen", "unseen"][i % 2],
                "calls": [{"name": "set_alarm", "arguments": {"hour": i, "label": "gym"} if i else {}}],
            }
            for i in range(4)
        ],
    )
    (folder / "wiki.raw").write_text(" = Title = \n" + long + "\n = Other = \n short .\n", encoding="utf-8")
    return {"local": folder}


@pytest.fixture(scope="module")
def suite():
    def task(file, template, **more):
        return config.Task(source="local", file=file, template=template, **more)

    return config.Suite(batch_size=4, max_new_tokens=8, tasks={
        "t_mc": task("mc.jsonl", "multiple_choice"),
        "t_shots": task("mc.jsonl", "multiple_choice", num_fewshot=1, limit=6),
        "t_boolq": task("boolq.jsonl", "boolq"), "t_wino": task("winogrande.jsonl", "winogrande"),
        "t_wiki": task("wiki.raw", "wikitext"), "t_calls": task("calls.jsonl", "calls"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def local(suite, sources):
    return tasks.read_tasks(suite, sources, {})


@pytest.fixture(scope="module")
def reference(folder, local, suite):
    """lm-eval's own result with its HFLM (transformers) on the folder."""
    import torch
    from lm_eval.evaluator import evaluate as run
    from lm_eval.models.huggingface import HFLM

    from pocketlm.data.chat import Chat

    model = HFLM(pretrained=str(folder), device="cpu", dtype=torch.float32, batch_size=3, max_length=96)
    with tasks.quiet():
        return run(model, evaluate.Scorer(local, suite).lm_eval_tasks(Chat(folder)), bootstrap_iters=0)


def test_same_as_hflm(folder, local, suite, reference):
    rows, samples = evaluate.Scorer(local, suite).score(evaluate.Target(folder, "call", "bf16"))
    assert {row["task"] for row in rows} == set(suite.tasks)
    for row in rows:
        want = reference["results"][row["task"]][f"{row['metric']},none"]
        assert row["value"] == pytest.approx(want, rel=1e-4, abs=1e-6), row
        error = reference["results"][row["task"]].get(f"{row['metric']}_stderr,none")
        if isinstance(error, float):
            assert row["stderr"] == pytest.approx(error, rel=1e-4, abs=1e-6), row
    again, _ = evaluate.collect(reference, local, {})
    assert len(again) == len(rows)
    assert len(samples) == sum(row["n"] for row in rows)


def responses(result):
    """{(task, item): log-likelihoods or answers}"""
    return {
        (name, sample["doc_id"]): [r[0][0] if isinstance(r[0], tuple) else r[0] for r in sample["resps"]]
        for name, samples in result["samples"].items()
        for sample in samples
    }


def ours(folder, local, suite, batch_size):
    from lm_eval.evaluator import evaluate as run

    from pocketlm.data.chat import Chat
    from pocketlm.quantization import load_deployed
    from pocketlm.scoring.lm import DecoderLM

    decoder, architecture, _ = load_deployed(folder)
    lm = DecoderLM(decoder, Chat(folder), architecture.max_seq_len, batch_size)
    with tasks.quiet():
        return responses(run(lm, evaluate.Scorer(local, suite).lm_eval_tasks(Chat(folder)), bootstrap_iters=0))


def test_log_likelihoods_and_answers_same_as_hflm_and_at_any_batch_size(folder, local, suite, reference):
    want = responses(reference)
    one, many = (ours(folder, local, suite, size) for size in (1, 64))
    assert one.keys() == many.keys() == want.keys()
    for key, values in one.items():
        if key[0] == "t_calls":
            assert values == many[key] == want[key]
        else:
            assert values == pytest.approx(many[key], abs=1e-4, rel=1e-6), key
            assert values == pytest.approx(want[key], abs=1e-3, rel=1e-5), key


def test_official_prompts(local, folder):
    """Texts as lm-eval's yaml files say, written out by hand."""
    from pocketlm.data.chat import Chat

    built = tasks.build(local, Chat(folder), 8)["tasks"]
    boolq = built["t_boolq"]
    assert boolq.doc_to_text(boolq.eval_docs[0]).endswith("\nQuestion: is it 0?\nAnswer:")
    assert boolq.doc_to_choice(boolq.eval_docs[0]) == ["no", "yes"]
    wino = built["t_wino"]
    assert wino.doc_to_choice(wino.eval_docs[0]) == ["Ben met Carla 0 times so Ben", "Ben met Carla 0 times so Carla"]
    assert wino.doc_to_target(wino.eval_docs[0]) == "was glad."
    calls = built["t_calls"]
    assert calls.doc_to_text(calls.eval_docs[0]) == "<|user|>Set an alarm for 0:30<|end|><|assistant|>"


def test_groups_are_scored_apart(folder, local, suite):
    only = [task for task in local if task.name == "t_calls"]
    rows, _ = evaluate.Scorer(only, suite).score(evaluate.Target(folder, "call", "bf16"))
    counts = {row["metric"]: row["n"] for row in rows}
    groups, metrics = (("", 4), (" seen", 2), (" unseen", 2)), ("exact_match", "name_accuracy", "argument_f1")
    assert counts == {metric + group: n for group, n in groups for metric in metrics}
    assert {row["chance"] for row in rows} == {0.0}


def test_ragged_decoding_is_generation_one_by_one(folder):
    """Against pocketlm.model.generate, which decodes prompts of equal length only."""
    import torch

    from pocketlm.model.generate import generate
    from pocketlm.quantization import load_quantized
    from pocketlm.scoring.decode import greedy

    decoder = load_quantized(folder)
    generator = torch.Generator().manual_seed(0)
    prompts = [torch.randint(6, 320, (n,), generator=generator).tolist() for n in (3, 9, 4, 1, 9, 17, 5)]
    stops = sorted({row[2] for row in generate(decoder, prompts, 6)})[:3]
    want = generate(decoder, prompts, 12, stops, batch_size=1)
    assert len({len(row) for row in want}) > 1
    for batch_size in (1, 3, 7):
        assert greedy(decoder, prompts, 12, stops, batch_size) == want


@pytest.mark.full
def test_lm_eval_command_on_exported_tasks(folder, local, suite, reference, tmp_path):
    """The command-line tool reads the exported tasks and gives the same accuracy on the exported folder."""
    import os
    import subprocess
    import sys

    from pocketlm.data.chat import Chat

    tasks.export(local, Chat(folder), tmp_path, suite.max_new_tokens)
    names = ["t_mc", "t_boolq", "t_wiki", "t_calls"]
    options = {
        "model": "hf", "model_args": f"pretrained={folder},dtype=float32,max_length=96", "include_path": tmp_path,
        "tasks": ",".join(names), "device": "cpu", "output_path": tmp_path / "out",
    }  # fmt: skip
    command = [sys.executable, "-m", "lm_eval", *(f"--{key}={value}" for key, value in options.items())]
    offline = {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, check=True, env=os.environ | offline)
    [found] = (tmp_path / "out").rglob("results_*.json")
    results = json.loads(found.read_text())["results"]
    for name in names:
        for key, value in reference["results"][name].items():
            if "," in key and isinstance(value, float):
                assert results[name][key] == pytest.approx(value, rel=1e-4, abs=1e-6), (name, key)
