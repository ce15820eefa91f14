"""lm-eval tasks over local items: built in memory for ``score``, or written as files for the lm_eval command."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketlm import config
from pocketlm.artifacts import ArtifactError, write_jsonl, write_text
from pocketlm.data.chat import Chat
from pocketlm.scoring import items
from pocketlm.scoring.templates import CALLS, call_config, chance, template

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before lm_eval and datasets are imported
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

Doc = dict[str, Any]


@dataclass
class LocalTask:
    """A task's items, ready: documents in the schema of its template, the metric that counts, its chance level."""

    name: str
    entry: config.Task
    docs: list[Doc]
    chance: float | None


def read_tasks(suite: config.Suite, folders: dict[str, Path], heldout: dict[str, float]) -> list[LocalTask]:
    """Every task of a suite from its sources' folders.

    ``heldout``: share of a source's documents that training left out. Raises ArtifactError naming file, line and field.
    """
    return [_read_task(name, entry, folders, heldout) for name, entry in suite.tasks.items()]


def _read_task(name: str, entry: config.Task, folders: dict[str, Path], heldout: dict[str, float]) -> LocalTask:
    sources = [entry.source, *([entry.labels] if entry.labels else [])]
    for source in sources:
        if source not in folders:
            raise ArtifactError(
                f"task {name}: its source '{source}' was not given: pass --data …/{source}.manifest.json"
            )
    if entry.template == "droidcall" and not heldout.get(entry.source):
        raise ArtifactError(
            f"task {name}: no corpus leaves items of '{entry.source}' out: set split and heldout of its part"
        )
    path = items.locate(folders[entry.source], entry.file)
    labels = items.locate(folders[entry.labels], "") if entry.labels else None
    found = template(entry.template, name).read(path, labels=labels, heldout=heldout.get(entry.source, 0.0))
    docs = items.chosen(found, entry.limit)
    if not docs:
        raise ArtifactError(f"{path}: no items for the task {name}")
    level = entry.chance if entry.chance is not None else chance(docs, entry.template)
    return LocalTask(name, entry, docs, level)


def _prompted(task: LocalTask, chat: Chat) -> list[Doc]:
    """Documents as a table takes them: calls as JSON text (their arguments differ), with the rendered prompt."""
    if task.entry.template not in CALLS:
        return task.docs
    return [
        {
            "prompt": chat.render(doc["messages"], doc["tools"], generate=True),
            "calls": json.dumps(doc["calls"], sort_keys=True, ensure_ascii=False),
            "group": doc["group"],
        }
        for doc in task.docs
    ]


def configuration(task: LocalTask, max_new_tokens: int, resolve: bool = True) -> Doc:
    """lm-eval's configuration of a task without its data; an official one is read from the installed lm-eval."""
    found = template(task.entry.template, task.name)
    if task.entry.template in CALLS:
        body = call_config(sorted({doc["group"] for doc in task.docs} - {""}), max_new_tokens)
    elif found.official:
        import lm_eval.tasks
        from lm_eval.tasks._yaml_loader import load_yaml

        body = load_yaml(Path(lm_eval.tasks.__file__).parent / found.official, resolve_func=resolve)
    else:
        body = dict(found.own)
    for key in ("tag", "dataset_path", "dataset_name", "training_split", "validation_split", "should_decontaminate"):
        body.pop(key, None)
    return body | {
        "task": task.name,
        "test_split": "test",
        "num_fewshot": task.entry.num_fewshot,
        "metadata": {"version": task.entry.version},
    }


def build(tasks: list[LocalTask], chat: Chat, max_new_tokens: int) -> dict[str, Any]:
    """lm-eval's task dictionary (TaskManager) over the documents in memory."""
    import logging

    import datasets
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    datasets.disable_caching()
    datasets.disable_progress_bars()

    def table(task: LocalTask) -> Any:
        split = datasets.Dataset.from_list(_prompted(task, chat))
        return lambda **options: {"test": split}

    specs = [configuration(task, max_new_tokens) | {"custom_dataset": table(task)} for task in tasks]
    loaded: dict[str, Any] = TaskManager(include_defaults=False).load(specs)
    return loaded


def export(tasks: list[LocalTask], chat: Chat, folder: Path, max_new_tokens: int) -> None:
    """Write ``<task>.yaml`` and ``.jsonl``: ``lm_eval --include_path folder --tasks <task>`` scores the same items."""
    import yaml

    for task in tasks:
        file = folder / f"{task.name}.jsonl"
        write_jsonl(file, _prompted(task, chat))
        data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(file.resolve())}}}
        body = configuration(task, max_new_tokens) | data
        functions = {key: f"{f.__module__}.{f.__name__}" for key, f in body.items() if callable(f)}
        text = yaml.safe_dump({k: v for k, v in body.items() if k not in functions}, allow_unicode=True)
        text += "".join(f"{key}: !function {name}\n" for key, name in functions.items())
        write_text(folder / f"{task.name}.yaml", text)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """lm-eval's own notes and bars go nowhere; errors still raise."""
    with Path(os.devnull).open("w") as sink, contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        yield
