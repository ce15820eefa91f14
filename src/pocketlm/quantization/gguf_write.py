"""Write a model folder as GGUF (llama architecture) for llama.cpp, with the ``gguf`` library.

llama.cpp rotates neighbouring pairs where Hugging Face rotates halves, so rows of q and k are permuted. Shared blocks
are written once for each execution. What its llama graph cannot express is refused (``deployable``).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketlm.artifacts import ArtifactError, read_json, write_json
from pocketlm.config import Architecture
from pocketlm.deployable import unsupported
from pocketlm.quantization.gguf_names import LAYER, OUTER

if TYPE_CHECKING:
    from gguf import GGUFWriter

Tensors = dict[str, "np.ndarray[Any, np.dtype[np.float32]]"]
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def pre_tokenizer(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name of the pre-tokenizer of a tokenizer.json. Raises ArtifactError for one that it does not know."""
    pre = tokenizer.get("pre_tokenizer") or {}
    steps = pre.get("pretokenizers", [pre])
    kinds = [step.get("type") for step in steps]
    plain = steps[-1].get("use_regex", True) and not steps[-1].get("add_prefix_space", False)
    model = tokenizer["model"]
    clean = model["type"] == "BPE" and not model.get("ignore_merges") and tokenizer.get("normalizer") is None
    if clean and plain and kinds == ["ByteLevel"]:
        return "gpt-2"
    if clean and plain and kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    raise ArtifactError(
        f"tokenizer.json: llama.cpp is not known to split text like {model['type']} with {kinds}; "
        "use a byte-level BPE tokenizer with GPT-2's rule, or leave the gguf schemes out"
    )


def permuted(weight: np.ndarray[Any, Any], n_heads: int) -> np.ndarray[Any, Any]:
    """Rows of q or k from halves (Hugging Face) to neighbouring pairs (llama.cpp): [heads * head_dim, d_model]."""
    rows, columns = weight.shape
    return weight.reshape(n_heads, 2, rows // n_heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def tensors(state: Tensors, architecture: Architecture) -> Tensors:
    """GGUF names and values of a Hugging Face Llama state, shared blocks written out."""
    a, result = architecture, {}
    for name, value in state.items():
        stem = name.removesuffix(".weight")
        if stem in OUTER:
            result[f"{OUTER[stem]}.weight"] = value
            continue
        _, _, number, part = stem.split(".", 3)
        if part in ("self_attn.q_proj", "self_attn.k_proj"):
            value = permuted(value, a.n_heads if part == "self_attn.q_proj" else a.n_kv_heads)
        for copy in range(a.sharing):
            result[f"blk.{int(number) * a.sharing + copy}.{LAYER[part]}.weight"] = value
    return result


def write_gguf(source: Path, out: Path, name: str) -> None:
    """Write ``out/model.gguf`` with tokenizer files and pocketlm.json (``out`` exists).

    Raises ArtifactError where the architecture or the tokenizer cannot be expressed (``unsupported``).
    """
    from gguf import GGUFWriter

    from pocketlm.model.folder import architecture_of

    about = read_json(source / "pocketlm.json")
    architecture = architecture_of(about)
    reason = unsupported(architecture, name)
    if reason:
        raise ArtifactError(f"{source}: {reason}")
    values = tensors(read_state(source), architecture)
    writer = GGUFWriter(out / "model.gguf", "llama")
    _add_shape(writer, architecture, values["token_embd.weight"].shape[0])
    _add_tokenizer(writer, source, values["token_embd.weight"].shape[0])
    for key, value in values.items():
        _add_tensor(writer, key, value, name)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    for file in TOKENIZER_FILES:
        if (source / file).is_file():
            shutil.copyfile(source / file, out / file)
    write_json(out / "pocketlm.json", about | {"scheme": name})


def read_state(source: Path) -> Tensors:
    """{name: fp32 array} of a model folder's weights."""
    from pocketlm.model.folder import read_tensors

    return {key: value.float().numpy() for key, value in sorted(read_tensors(source).items())}


def _add_tensor(writer: GGUFWriter, key: str, value: np.ndarray[Any, Any], name: str) -> None:
    """Norms fp32; embeddings q8_0 (the tied output too); matrices as asked; widths that 32 does not divide fp16."""
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    if value.ndim == 1:
        writer.add_tensor(key, value)
    elif value.shape[1] % 32:
        writer.add_tensor(key, value.astype(np.float16))
    else:
        four = name == "gguf_q4_0" and key.startswith("blk.")
        kind = GGMLQuantizationType.Q4_0 if four else GGMLQuantizationType.Q8_0
        writer.add_tensor(key, quantize(np.ascontiguousarray(value), kind), raw_dtype=kind)


def _add_shape(writer: GGUFWriter, a: Architecture, vocab_size: int) -> None:
    writer.add_vocab_size(vocab_size)
    writer.add_context_length(a.max_seq_len)
    writer.add_embedding_length(a.d_model)
    writer.add_block_count(a.n_layers * a.sharing)
    writer.add_feed_forward_length(a.d_ff)
    writer.add_head_count(a.n_heads)
    writer.add_head_count_kv(a.n_kv_heads)
    writer.add_key_length(a.head_dim)
    writer.add_value_length(a.head_dim)
    writer.add_rope_dimension_count(a.head_dim)
    writer.add_rope_freq_base(a.rope_theta)
    writer.add_layer_norm_rms_eps(a.norm_eps)


def _add_tokenizer(writer: GGUFWriter, source: Path, vocab_size: int) -> None:
    """Byte-level BPE as llama.cpp's ``gpt2`` model: tokens, types, merges, ends, chat template."""
    from gguf import TokenType

    from pocketlm.quantization.gguf_tokens import ends, vocabulary

    data = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    pre = pre_tokenizer(data)  # first: it refuses what is no such BPE
    tokens, control = vocabulary(data, vocab_size)
    kinds = {None: TokenType.NORMAL, True: TokenType.CONTROL, False: TokenType.UNUSED}
    merges = [m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]]
    end = ends(source, data)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([kinds[c] for c in control])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(end["eos"])
    writer.add_eos_token_id(end["eos"])
    writer.add_eot_token_id(end["turn"])
    writer.add_pad_token_id(end["pad"])
    writer.add_add_bos_token(False)
    if end["template"]:
        writer.add_chat_template(end["template"])
