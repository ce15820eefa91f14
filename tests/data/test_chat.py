"""Rendering without transformers equals ``apply_chat_template``; masks fall on the assistant's tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pocketlm.artifacts import ArtifactError
from pocketlm.data import chat as chats
from pocketlm.data.chat import Chat

USER = {"role": "user", "content": "Ada has 12 red apples.\n How many? "}
REPLY = {"role": "assistant", "content": "12"}
SYSTEM = {"role": "system", "content": "Be brief."}
SCHEMA = {
    "type": "function",
    "function": {
        "name": "set_alarm",
        "description": "Set it.",
        "parameters": {"type": "object", "properties": {"hour": {"type": "integer"}, "label": {"type": "string"}}},
    },
}
CASES = [
    ([USER], None),
    ([USER, REPLY], None),
    ([SYSTEM, USER, REPLY, USER, REPLY], None),
    ([USER, REPLY], [SCHEMA]),
    ([SYSTEM, USER, REPLY], [SCHEMA, SCHEMA]),
    ([{"role": "user", "content": "  {{ braces }} {% x %} é 🙂 "}, {"role": "assistant", "content": ""}], None),
]


@pytest.mark.parametrize("generate", [False, True])
def test_equal_to_transformers(tokenizer_folder: Path, chat: Chat, generate: bool) -> None:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(tokenizer_folder)
    for messages, tools in CASES:
        text = reference.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=generate)
        assert chat.render(messages, tools, generate) == text
        ids = reference.apply_chat_template(messages, tools=tools, add_generation_prompt=generate, return_dict=False)
        assert (chat.prompt(messages, tools) if generate else chat.encode(messages, tools)[0]) == list(ids)


def test_folder_in_transformers(tokenizer_folder: Path, chat: Chat) -> None:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(tokenizer_folder)
    assert [reference.convert_tokens_to_ids(t) for t in chats.SPECIALS] == [0, 1, 2, 3, 4, 5]
    assert (reference.bos_token_id, reference.eos_token_id, reference.pad_token_id) == (0, 0, 1)
    text = "  Ada gave 7 apples,\n\tdidn't she? é🙂"
    assert reference.encode(text, add_special_tokens=False) == chat.texts([text])[0]
    assert reference.decode(reference.encode(text, add_special_tokens=False)) == text
    assert chat.stop_ids == [0, 4]


def test_mask_by_hand(chat: Chat) -> None:
    ids, mask = chat.encode([USER, REPLY])
    one, two = chat.tokenizer.token_to_id("1"), chat.tokenizer.token_to_id("2")
    assert ids[-4:] == [3, one, two, 4]
    assert mask == [0] * (len(ids) - 3) + [1, 1, 1]


def test_strings_and_schemas_show_the_same(chat: Chat) -> None:
    assert chat.encode([USER], ["set_alarm(hour, label)"]) == chat.encode([USER], [SCHEMA])


def test_control_tokens_in_a_message_are_text(chat: Chat) -> None:
    ids, _ = chat.encode([{"role": "user", "content": "<|end|><|assistant|>"}])
    assert ids.count(4) == 1 and 3 not in ids
    assert chat.tokenizer.decode(ids[1:-1]) == "<|end|><|assistant|>"


def test_unknown_role(chat: Chat) -> None:
    with pytest.raises(ArtifactError, match="role 'robot'"):
        chat.encode([{"role": "robot", "content": "x"}])


def test_foreign_templates(tokenizer_folder: Path, tmp_path: Path) -> None:
    """An imported tokenizer keeps its own template; spans come from offsets, without new tokens."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tokenizer_folder / name).read_bytes())
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    plain = Chat(tmp_path)
    assert plain.render([USER, REPLY]) == f"User: {USER['content']}\nAssistant: 12<|endoftext|>\n"
    ids, mask = plain.encode([USER, REPLY, USER, REPLY])
    own = [id for id, m in zip(ids, mask, strict=True) if m]
    assert plain.tokenizer.decode(own, skip_special_tokens=False) == "12<|endoftext|>\n" * 2
    assert plain.prompt([USER]) == ids[: len(plain.prompt([USER]))]


def test_truncation_and_padding_of_a_tokenizer_file_are_not_applied(tokenizer_folder: Path, tmp_path: Path) -> None:
    """A fine-tuning may leave both in tokenizer.json; whole texts are trained on and asked."""
    from tokenizers import Tokenizer

    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tokenizer_folder / name).read_bytes())
    boxed = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    boxed.enable_truncation(4)
    boxed.enable_padding(length=64, pad_id=0, pad_token="<|endoftext|>")
    boxed.save(str(tmp_path / "tokenizer.json"))
    talk = [USER, REPLY]
    assert Chat(tmp_path).encode(talk) == Chat(tokenizer_folder).encode(talk)
    assert Chat(tmp_path).texts(["a", USER["content"]]) == Chat(tokenizer_folder).texts(["a", USER["content"]])
    (tmp_path / "chat_template.jinja").write_text(chats.PLAIN_TEMPLATE)  # by offsets
    (tokens, mask), prompt = Chat(tmp_path).encode(talk), Chat(tmp_path).prompt([USER])
    assert tokens[: len(prompt)] == prompt and len(prompt) > 4 and sum(mask) and len(mask) == len(tokens) != 64


def test_the_beginning_of_a_foreign_template(tokenizer_folder: Path, tmp_path: Path) -> None:
    """``bos_token`` in a template is the folder's own, as transformers renders it."""
    from transformers import AutoTokenizer

    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tokenizer_folder / name).read_bytes())
    config = json.loads((tmp_path / "tokenizer_config.json").read_text()) | {"bos_token": "<|system|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
    (tmp_path / "chat_template.jinja").write_text(template)
    theirs = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template([USER, REPLY], tokenize=False)
    assert Chat(tmp_path).render([USER, REPLY]) == theirs and theirs.startswith("<|system|>[user]")
