"""The keys of a foreign config.json: which are read, which change no result, and how a value is read or refused.

Any other key that says something is refused by its name: an option that the decoder does not know would make another
model of the same tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pocketlm.artifacts import ArtifactError

READ = """
    model_type vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads
    head_dim hidden_act rms_norm_eps max_position_embeddings initializer_range tie_word_embeddings share_embedding
    layer_sharing rope_theta rope_scaling rope_parameters partial_rotary_factor attention_bias mlp_bias
    attention_dropout
"""
# What they say is of files, tokens, memory, generation or other heads, never of what the decoder computes.
INERT = """
    architectures auto_map _name_or_path name_or_path _commit_hash transformers_version dtype torch_dtype
    torchscript tokenizer_class transformers.js_config is_llama_config attn_implementation _attn_implementation
    _attn_implementation_autoset _flash_attn_2_enabled keys_to_ignore_at_inference
    bos_token_id eos_token_id pad_token_id unk_token_id sep_token_id decoder_start_token_id
    use_cache pretraining_tp chunk_size_feed_forward return_dict output_hidden_states output_attentions
    id2label label2id num_labels problem_type finetuning_task task_specific_params prefix
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p
    typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
    num_return_sequences output_scores return_dict_in_generate forced_bos_token_id forced_eos_token_id
    remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens
    is_decoder unsloth_fixed unsloth_version
"""
SHOWN = 80  # characters of a refused value
KNOWN = frozenset(f"{READ} {INERT}".split())


def refuse(where: str, option: str, value: Any, remedy: str) -> ArtifactError:
    """The error of an option that cannot be expressed, for the caller to raise."""
    shown = repr(value) if len(repr(value)) <= SHOWN else f"{repr(value)[:SHOWN]}…"
    return ArtifactError(f"{where}: {option}={shown} cannot be expressed: {remedy}")


def refuse_unknown(config: Mapping[str, Any], where: str) -> None:
    """Raise ArtifactError at the first key that is neither read nor inert; null, false and empty ones say nothing."""
    for key, value in config.items():
        if key in KNOWN or value is None or value is False or value in ({}, [], ""):
            continue
        if key == "layer_types" and value == ["full_attention"] * config.get("num_hidden_layers", 0):
            continue
        remedy = "the decoder has no such option; remove the key if the model's own code does not read it"
        raise refuse(where, key, value, remedy)


def need(config: Mapping[str, Any], key: str, where: str) -> Any:
    """The value of a key that must be there and not null."""
    value = config.get(key)
    if value is None:
        raise ArtifactError(f"{where}: key {key!r} is missing; the checkpoint's config.json has it")
    return value


def whole(config: Mapping[str, Any], key: str, where: str, default: int | None = None) -> int:
    """A whole number above 0; null is an absent key. Without a default it must be there."""
    value = default if default is not None and config.get(key) is None else need(config, key, where)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArtifactError(f"{where}: {key}: {value!r} must be a whole number above 0")
    return value


def number(config: Mapping[str, Any], key: str, where: str, default: float) -> float:
    """A number above 0; null is an absent key."""
    value = default if config.get(key) is None else config[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ArtifactError(f"{where}: {key}: {value!r} must be a number above 0")
    return float(value)


def flag(config: Mapping[str, Any], key: str, where: str, default: bool | None = None) -> bool:
    """true or false. Without a default it must be there."""
    value = default if default is not None and config.get(key) is None else need(config, key, where)
    if not isinstance(value, bool):
        raise refuse(where, key, value, "it must be true or false")
    return value
