"""Chat rendering without transformers: messages and tools to text, ids and loss mask.

The template lies in the tokenizer's folder and is the one that ``apply_chat_template`` uses, so training and inference
read the same bytes (a test asserts it). Loss falls on assistant tokens only, their closing ``<|end|>`` included.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlm.artifacts import ArtifactError, read_json
from pocketlm.data.encode import Encoder, whole_texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EOS, PAD, USER, ASSISTANT, END, SYSTEM = SPECIALS = [
    "<|endoftext|>", "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>", "<|system|>",
]  # fmt: skip

# A tool is a name, a short signature, or (from transformers) a JSON schema, which is shown as a short signature.
TEMPLATE = (
    "{%- macro signature(tool) -%}{%- if tool is string -%}{{ tool }}{%- else -%}{%- set f = tool.function -%}"
    "{{ f.name }}({{ f.parameters.properties | join(', ') }}){%- endif -%}{%- endmacro -%}"
    "{%- if tools -%}{%- set shown = namespace(text='') -%}{%- for tool in tools -%}"
    "{%- set shown.text = shown.text + ('' if loop.first else '\\n') + signature(tool) -%}{%- endfor -%}"
    "{%- if messages and messages[0].role == 'system' -%}"
    "{{ '<|system|>' + messages[0].content + '\\n' + shown.text + '<|end|>' }}{%- set messages = messages[1:] -%}"
    "{%- else -%}{{ '<|system|>' + shown.text + '<|end|>' }}{%- endif -%}{%- endif -%}"
    "{%- for m in messages -%}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)

# For an imported tokenizer that brings no template: it needs no new tokens, so the model's embeddings stay as they are.
PLAIN_TEMPLATE = (
    "{%- if tools -%}{{ 'Tools: ' + tools | join('; ') + '\\n' }}{%- endif -%}"
    "{%- for m in messages -%}{%- if m.role == 'assistant' -%}{{ 'Assistant: ' + m.content + eos_token + '\\n' }}"
    "{%- else -%}{{ m.role | capitalize + ': ' + m.content + '\\n' }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Assistant: ' }}{%- endif -%}"
)

Messages = Sequence[dict[str, str]]
Dialogue = tuple[Messages, Sequence[Any] | None]


class Chat:
    """The chat format of a tokenizer folder: ``render``, ``encode`` and the ids that end a turn."""

    def __init__(self, folder: str | Path) -> None:
        from tokenizers import Tokenizer

        folder = Path(folder)
        self.tokenizer: Tokenizer = whole_texts(Tokenizer.from_file(str(folder / "tokenizer.json")))
        self.texts = Encoder(self.tokenizer)  # literal "<|end|>" inside a message is text, never a control token
        self.template, self.eos_token, self.pad_token = read_template(folder)
        self.bos_token = token_text(read_json(folder / "tokenizer_config.json").get("bos_token"))
        self.native = self.template == TEMPLATE
        self.eos_id = self._id(self.eos_token, folder)
        self.pad_id = self._id(self.pad_token, folder)
        self.end_id = self._id(END, folder) if self.native else self.eos_id
        self.vocab_size = self.tokenizer.get_vocab_size(with_added_tokens=True)

    def _id(self, token: str, folder: Path) -> int:
        value = self.tokenizer.token_to_id(token)
        if value is None:
            raise ArtifactError(f"{folder}: the special token {token} is not in tokenizer.json; rebuild the tokenizer")
        return value

    @property
    def stop_ids(self) -> list[int]:
        """Ids that end a generated turn: document end and turn end."""
        return sorted({self.eos_id, self.end_id})

    def render(self, messages: Messages, tools: Sequence[Any] | None = None, generate: bool = False) -> str:
        """The text that ``apply_chat_template(tokenize=False)`` gives."""
        return compiled(self.template).render(
            messages=list(messages), tools=list(tools) if tools else None, add_generation_prompt=generate,
            eos_token=self.eos_token, bos_token=self.bos_token, pad_token=self.pad_token,
        )  # fmt: skip

    def prompt(self, messages: Messages, tools: Sequence[Any] | None = None) -> list[int]:
        """Ids up to and including the assistant's opening: what generation starts from."""
        if self.native:
            return self.encode(messages, tools)[0] + [self._role("assistant")]
        text = self.render(messages, tools, generate=True)
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, messages: Messages, tools: Sequence[Any] | None = None) -> tuple[list[int], list[int]]:
        """(ids, mask) of a dialogue; mask is 1 where a token is the assistant's own."""
        return self.encode_batch([(messages, tools)])[0]

    def encode_batch(self, dialogues: Sequence[Dialogue]) -> list[tuple[list[int], list[int]]]:
        """``encode`` of many dialogues, in parallel threads."""
        if not self.native:
            return [self._encode_by_offsets(messages, tools) for messages, tools in dialogues]
        turns = [with_system(messages, tools) for messages, tools in dialogues]
        contents = iter(self.texts([m["content"] for d in turns for m in d]))
        return [self._join([(m["role"], next(contents)) for m in d]) for d in turns]

    def _role(self, role: str) -> int:
        value = self.tokenizer.token_to_id(f"<|{role}|>")
        if value is None:
            raise ArtifactError(f"a message has the role '{role}'; the chat template knows system, user and assistant")
        return value

    def _join(self, turns: list[tuple[str, list[int]]]) -> tuple[list[int], list[int]]:
        ids: list[int] = []
        mask: list[int] = []
        for role, content in turns:
            own = int(role == "assistant")
            ids += [self._role(role), *content, self.end_id]
            mask += [0] + [own] * (len(content) + 1)
        return ids, mask

    def _encode_by_offsets(self, messages: Messages, tools: Sequence[Any] | None) -> tuple[list[int], list[int]]:
        """Any template: the assistant's spans are what a longer prefix of the dialogue adds to the prompt."""
        text = self.render(messages, tools)
        spans = [
            (len(self.render(messages[:i], tools, generate=True)), len(self.render(messages[: i + 1], tools)))
            for i, message in enumerate(messages)
            if message["role"] == "assistant"
        ]
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        mask = [int(any(a <= start < b for a, b in spans)) for start, _ in encoding.offsets]
        return list(encoding.ids), mask


def with_system(messages: Messages, tools: Sequence[Any] | None) -> list[dict[str, str]]:
    """The messages with the tools shown in the system turn, as the template shows them."""
    turns = list(messages)
    if not tools:
        return turns
    shown = "\n".join(signature(tool) for tool in tools)
    if turns and turns[0]["role"] == "system":
        return [{"role": "system", "content": turns[0]["content"] + "\n" + shown}, *turns[1:]]
    return [{"role": "system", "content": shown}, *turns]


def signature(tool: Any) -> str:
    """The short form of a tool: itself if it is a string, else ``name(a, b)`` of its JSON schema."""
    if isinstance(tool, str):
        return tool
    function = tool["function"]
    return f"{function['name']}({', '.join(function['parameters']['properties'])})"


@functools.lru_cache(maxsize=8)
def compiled(template: str) -> Any:
    """The compiled template, with the settings that transformers uses."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(template)


def read_template(folder: Path) -> tuple[str, str, str]:
    """(chat template, eos token, pad token) of a Hugging Face tokenizer folder."""
    config = read_json(folder / "tokenizer_config.json")
    file = folder / "chat_template.jinja"
    template = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template") or PLAIN_TEMPLATE
    eos = token_text(config.get("eos_token"))
    if not eos:
        raise ArtifactError(f"{folder}/tokenizer_config.json: eos_token is missing; documents need an end token")
    return template, eos, token_text(config.get("pad_token")) or eos


def token_text(token: Any) -> str:
    """A special token's text: Hugging Face writes a string or a dictionary."""
    return token.get("content", "") if isinstance(token, dict) else token or ""


def template_sha256(folder: str | Path) -> str:
    """Hash of the chat template of a tokenizer folder, for ``pocketlm.json``."""
    return hashlib.sha256(read_template(Path(folder))[0].encode()).hexdigest()
