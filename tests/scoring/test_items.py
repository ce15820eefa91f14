"""Items are read into the official schema, checked field by field, and chosen by hash."""

import json

import pytest

from pocketlm.artifacts import ArtifactError
from pocketlm.scoring import items


def write(path, rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


GOOD = {"query": "Question: Why?", "choices": ["a", "b"], "gold": 1}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"query": "q", "choices": ["a"]}, "line 2: the field 'gold' is missing"),
        ({"query": "q", "choices": "ab", "gold": 0}, "line 2: the field 'choices' must be list"),
        ({"query": "q", "choices": ["a"], "gold": 1}, "line 2: the field 'gold' is 1 of 1 choices"),
        ("{not json", "line 2 is not JSON"),
    ],
)
def test_bad_item_names_file_line_and_field(tmp_path, bad, message):
    path = write(tmp_path / "task.jsonl", [GOOD, bad])
    with pytest.raises(ArtifactError, match="task.jsonl") as error:
        list(items.multiple_choice(path))
    assert message in str(error.value)


WINOGRANDE = {"context_options": ["Ann so Ann", "Ann so Bea"], "continuation": "left.", "gold": 0}
HELLASWAG = {"activity_label": "Roof", "ctx": "A man sits.", "endings": ["a", "b", "c", "d"], "label": 3}


@pytest.mark.parametrize(
    ("read", "good", "change", "message"),
    [
        (items.boolq, {"query": "q", "gold": 1}, {"gold": 2}, "'gold' is 2 of 2 choices"),
        (items.boolq, {"query": "q", "gold": 1}, {"gold": -1}, "'gold' is -1 of 2 choices"),
        (items.boolq, {"query": "q", "gold": 1}, {"gold": True}, "'gold' must be int, not True"),
        (items.winogrande, WINOGRANDE, {"gold": 2}, "'gold' is 2 of 2 choices"),
        (
            items.winogrande,
            WINOGRANDE,
            {"context_options": ["a", "b", "c"]},
            "'context_options' must hold 2 texts, not 3",
        ),
        (items.winogrande, WINOGRANDE, {"context_options": ["a", 1]}, "'context_options' must hold texts only"),
        (items.hellaswag, HELLASWAG, {"endings": "abcd"}, "'endings' must be list, not 'abcd'"),
        (items.hellaswag, HELLASWAG, {"endings": ["a", None]}, "'endings' must hold texts only"),
        (items.hellaswag, HELLASWAG, {"label": 4}, "'label' is 4 of 4 choices"),
        (items.hellaswag, HELLASWAG, {"ctx": None}, "'ctx' must be str, not None"),
        (items.calls, {"messages": [], "calls": []}, {"messages": [{"role": "user"}]}, "'role' and 'content'"),
    ],
)
def test_wrong_value_names_file_line_and_field(tmp_path, read, good, change, message):
    path = write(tmp_path / "task.jsonl", [good, good | change])
    with pytest.raises(ArtifactError, match=r"task.jsonl: line 2: the field '") as error:
        list(read(path))
    assert message in str(error.value)


def test_arc_and_openbookqa(tmp_path):
    path = write(tmp_path / "x", [GOOD])
    assert list(items.arc(path)) == [
        {"question": "Why?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}
    ]
    assert next(items.openbookqa(path))["question_stem"] == "Why?"


def test_boolq(tmp_path):
    path = write(tmp_path / "x", [{"query": "Passage: P.\nQuestion: is it so?", "choices": ["no", "yes"], "gold": 1}])
    assert list(items.boolq(path)) == [{"passage": "P.", "question": "is it so", "label": 1}]


def test_winogrande_keeps_both_sentences(tmp_path):
    row = {"context_options": ["Ann met Anna so Ann", "Ann met Anna so Anna"], "continuation": "left.", "gold": 0}
    [doc] = items.winogrande(write(tmp_path / "x", [row]))
    assert doc == {"sentence": "Ann met Anna so _ left.", "option1": "Ann", "option2": "Anna", "answer": "1"}


@pytest.mark.parametrize(
    ("ctx", "first", "second"),
    [
        ("A man sits. He looks up. the man", "A man sits. He looks up.", "the man"),
        ("How to cook. Boil water.", "How to cook. Boil water.", ""),
        ("People", "People", ""),
    ],
)
def test_hellaswag_contexts(tmp_path, ctx, first, second):
    row = {"activity_label": "Roof", "ctx": ctx, "endings": ["a", "b", "c", "d"], "label": 3}
    [doc] = items.hellaswag(write(tmp_path / "x", [row]))
    assert (doc["ctx_a"], doc["ctx_b"], doc["label"]) == (first, second, "3")


def test_piqa_labels(tmp_path):
    path = write(tmp_path / "x", [{"goal": "g", "sol1": "a", "sol2": "b"}] * 2)
    (tmp_path / "labels").write_text("0\n1\n")
    assert [doc["label"] for doc in items.piqa(path, labels=tmp_path / "labels")] == [0, 1]
    (tmp_path / "labels").write_text("0\n")
    with pytest.raises(ArtifactError, match="1 labels for the 2 items"):
        list(items.piqa(path, labels=tmp_path / "labels"))
    (tmp_path / "labels").write_text("0\ntwo\n")
    with pytest.raises(ArtifactError, match="labels: line 2: 'two' is no label; it must be 0 or 1"):
        list(items.piqa(path, labels=tmp_path / "labels"))


def test_wikitext_articles(tmp_path):
    path = tmp_path / "wiki"
    path.write_text(" = One = \n text\n = = Part = = \n more\n = Two = \n end\n = not a title \n", encoding="utf-8")
    assert [doc["page"].count("\n") for doc in items.wikitext(path)] == [4, 3]


def test_subset_is_chosen_by_content_and_nested():
    docs = [{"query": str(i)} for i in range(50)]
    ten = items.chosen(docs, 10)
    assert len(ten) == 10 and ten == items.chosen(list(reversed(docs)), 10)[::-1]
    assert all(doc in items.chosen(docs, 20) for doc in ten)
    assert items.chosen(docs, None) == docs
