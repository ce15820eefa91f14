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
        "t_mc": task("mc.jsonl", "multiple_choice"), "t_shots": task("mc.jsonl", "multiple_choice", num_fewshot=1, limit=6),
        "t_boolq": task("boolq.jsonl", "boolq"), "t_wino": task("winogrande.jsonl", "winogrande"),
        "t_wiki": task("wiki.raw", "wikitext"), "t_calls": task("calls.jsonl", "calls"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def local(suite, sources):
    return tasks.read_tasks(suite, sources, {})


def results_of(folder, local, suite):
    """lm-eval's own result with its HFLM (transformers) on the folder."""
    import torch
    from lm_eval.evaluator import evaluate as run
    from lm_eval.models.huggingface import HFLM

    from pocketlm.data.chat import Chat

    model = HFLM(pretrained=str(folder), device="cpu", dtype=torch.float32, batch_size=3, max_length=96)
    with tasks.quiet():
        return run(model, tasks.build(local, Chat(folder), suite.max_new_tokens), bootstrap_iters=0)


def test_same_as_hflm(folder, local, suite):
    rows, samples = evaluate.evaluate(evaluate.Target(folder, "call", "bf16"), local, suite)
    reference = results_of(folder, local, suite)
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


def likelihoods(result):
    return {
        (name, sample["doc_id"]): [
            response[0][0] if isinstance(response[0], tuple) else response[0] for response in sample["resps"]
        ]
        for name, samples in result["samples"].items()
        for sample in samples
    }


def lm_result(folder, local, suite, batch_size):
    from lm_eval.evaluator import evaluate as run

    from pocketlm.data.chat import Chat
    from pocketlm.quantization import load_deployed
    from pocketlm.scoring.lm import DecoderLM

    decoder, architecture, _ = load_deployed(folder)
    lm = DecoderLM(decoder, Chat(folder), architecture.max_seq_len, batch_size)
    with tasks.quiet():
        return run(lm, tasks.build(local, Chat(folder), suite.max_new_tokens), bootstrap_iters=0)


def test_log_likelihoods_and_answers_same_as_hflm_at_any_batch_size(folder, local, suite):
    want = likelihoods(results_of(folder, local, suite))
    for batch_size, tolerance in ((1, 1e-3), (7, 1e-3)):
        got = likelihoods(lm_result(folder, local, suite, batch_size))
        assert got.keys() == want.keys()
        for key in want:
            if key[0] == "t_calls":
                assert got[key] == want[key]
            else:
                assert got[key] == pytest.approx(want[key], abs=tolerance, rel=1e-5), key


def test_batch_size_does_not_move_scores(folder, local, suite):
    one, many = (likelihoods(lm_result(folder, local, suite, size)) for size in (1, 64))
    for key in one:
        assert one[key] == (many[key] if key[0] == "t_calls" else pytest.approx(many[key], abs=1e-4, rel=1e-6)), key


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
    rows, _ = evaluate.evaluate(evaluate.Target(folder, "call", "bf16"), only, suite)
    assert {row["metric"]: row["n"] for row in rows} == {
        name + group: n for group, n in (("", 4), (" seen", 2), (" unseen", 2)) for name in ("exact_match", "name_accuracy", "argument_f1")
    }  # fmt: skip
    assert {row["chance"] for row in rows} == {0.0}
