"""Foreign config.json files: what becomes of the published ones, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from model_shapes import OPTIONS, VOCAB, make
from published_configs import FLAGS, HUB_MOBILELLM_125M, MOBILELLM_125M, PHONELM_1_5B

from pocketlm.artifacts import ArtifactError
from pocketlm.config import Architecture
from pocketlm.model.exports import to_foreign
from pocketlm.model.foreign import import_config, read_config


def shipped(name: str) -> dict[str, Any]:
    """A shape of conf/model, without what says nothing where there are no shortcuts."""
    text = (Path(__file__).parents[2] / "conf" / "model" / f"{name}.yaml").read_text(encoding="utf-8")
    return {key: value for key, value in yaml.safe_load(text).items() if key not in ("kind", "shortcut_ratio")}


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (MOBILELLM_125M | FLAGS, "mobilellm_125m"),
        (MOBILELLM_125M | FLAGS | {"model_type": "mobilellm"}, "mobilellm_125m"),
        (HUB_MOBILELLM_125M, "mobilellm_125m"),
        (MOBILELLM_125M | FLAGS | {"model_type": "mobilellm", "layer_sharing": True}, "mobilellm_ls_125m"),
        (PHONELM_1_5B, "phonelm_1_5b"),
    ],
)
def test_published_configs_are_the_shipped_shapes(config: dict[str, Any], name: str) -> None:
    arch, vocab_size = read_config(config, "config.json")
    assert vocab_size == config["vocab_size"]
    assert {key: getattr(arch, key) for key in shipped(name)} == shipped(name)


def test_mobilellms_own_config_says_untied() -> None:
    """The trap: without the flags of its code its config.json is another model, with a head of 18 M parameters."""
    arch, _ = read_config(MOBILELLM_125M, "config.json")
    assert {key for key, value in shipped("mobilellm_125m").items() if getattr(arch, key) != value} == {"tied"}


@pytest.mark.parametrize("layout", ["llama", "mobilellm"])
def test_a_mobilellm_whose_sharing_is_not_said_is_refused(layout: str) -> None:
    """What our own message used to ask for, ``share_embedding`` alone, made a non-LS model of an LS checkpoint."""
    with pytest.raises(ArtifactError) as error:
        read_config(MOBILELLM_125M | {"model_type": layout, "share_embedding": True}, "config.json")
    for part in ("layer_sharing is missing", "share_embedding (true:", "layer_sharing (true:", "each block runs twice"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mobilellm_ties_where_its_code_does() -> None:
    """share_embedding is true by default in its code; tie_word_embeddings says nothing there."""
    for layout in ("llama", "mobilellm"):
        arch, _ = read_config(MOBILELLM_125M | {"model_type": layout, "layer_sharing": True}, "config.json")
        assert arch.tied and arch.sharing == 2


def test_what_transformers_writes_is_read() -> None:
    import transformers

    config = transformers.LlamaConfig()
    arch, vocab_size = read_config(config.to_dict(), "config.json")
    assert read_config(config.to_diff_dict(), "config.json") == (arch, vocab_size)
    assert vocab_size == config.vocab_size and arch.head_dim == 128 and arch.d_ff == config.intermediate_size
    text = json.loads(config.to_json_string(use_diff=False))
    assert read_config(text, "config.json") == (arch, vocab_size)


@pytest.mark.parametrize(
    ("layout", "options"),
    [("llama", {}), ("llama", {"tied": False}), ("mobilellm", {"sharing": 2}), ("mobilellm", {"tied": False}),
     ("phonelm", {"activation": "relu", "rope_int8": True}), ("phonelm", {"activation": "gelu", "rope_int8": True})],
)  # fmt: skip
def test_what_we_export_is_read(layout: str, options: dict[str, Any]) -> None:
    arch = make(**options).arch
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3, "dtype": "bfloat16"}
    found, vocab_size = read_config(to_foreign(arch, VOCAB, layout) | ids, "config.json")
    assert vocab_size == VOCAB
    same = set(vars(arch)) - {"kind", "rank", "path", "tokenizer", "shortcut_ratio"}
    assert {key: getattr(found, key) for key in same} == {key: getattr(arch, key) for key in same}


@pytest.mark.parametrize(
    ("key", "value"),
    [("sliding_window", 4096), ("attn_logit_softcapping", 50.0), ("use_qk_norm", True), ("logit_scale", 0.5),
     ("layer_types", ["sliding_attention"]), ("quantization_config", {"quant_method": "fp8"}), ("no_rope_layers", [0]),
     ("residual_multiplier", 0), ("use_parallel_residual", True)],
)  # fmt: skip
def test_an_option_that_we_do_not_know_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ArtifactError, match=f"^config.json: {key}=.* cannot be expressed"):
        read_config(MOBILELLM_125M | {key: value}, "config.json")


@pytest.mark.parametrize("value", [None, False, {}, []])
def test_an_unknown_option_that_says_nothing_is_none(value: Any) -> None:
    assert read_config(MOBILELLM_125M | {"sliding_window": value}, "config.json") == read_config(MOBILELLM_125M, "")


@pytest.mark.parametrize(
    "change",
    [
        {"is_decoder": True},
        {"unsloth_fixed": True},
        {"layer_types": ["full_attention"] * 30},
        {"rope_scaling": {"rope_type": None, "factor": None}},
    ],
)
def test_what_changes_no_result_is_passed_over(change: dict[str, Any]) -> None:
    assert read_config(MOBILELLM_125M | change, "config.json") == read_config(MOBILELLM_125M, "")


@pytest.mark.parametrize("key", ["hidden_act", "tie_word_embeddings"])
def test_phonelms_differences_from_llama_are_not_guessed(key: str) -> None:
    with pytest.raises(ArtifactError, match=f"key '{key}' is missing"):
        read_config({k: v for k, v in PHONELM_1_5B.items() if k != key}, "config.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads: 0 must be a whole number above 0"),
        ({"num_attention_heads": "9"}, "num_attention_heads: '9' must be a whole number"),
        ({"num_attention_heads": 7}, "num_attention_heads: 7 does not divide hidden_size 576"),
        ({"num_key_value_heads": 2}, "num_key_value_heads: 2 does not divide num_attention_heads 9"),
        ({"num_key_value_heads": 0}, "num_key_value_heads: 0 must be a whole number"),
        ({"head_dim": 63}, "head_dim: 63 is odd"),
        ({"hidden_size": 567}, "head_dim: 63 is odd"),
        ({"num_hidden_layers": 1.5}, "num_hidden_layers: 1.5 must be a whole number"),
        ({"vocab_size": -1}, "vocab_size: -1 must be a whole number"),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps: '1e-5' must be a number above 0"),
        ({"rope_theta": 0}, "rope_theta: 0 must be a number above 0"),
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings='false' cannot be expressed: it must be true or false"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}, "rope_parameters=.*one set of parameters"),
        ({"rope_parameters": {"rope_type": "default", "factor": 8}}, "rope_parameters.factor=8 cannot be expressed"),
        ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}}, "rope_theta is 10000 and rope_parameters.rope"),
        ({"partial_rotary_factor": True}, "partial_rotary_factor=True cannot be expressed"),
        ({"share_embedding": False, "layer_sharing": False, "tie_word_embeddings": True}, "share_embedding is false"),
        ({"layer_types": ["sliding_attention"] * 30}, "layer_types=.{80}… cannot be expressed"),
    ],
)
def test_an_impossible_shape_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=f"^config.json: {message}") as error:
        read_config(MOBILELLM_125M | change, "config.json")
    assert "\n" not in str(error.value)


def test_our_own_folder_is_checked_too(tmp_path: Path) -> None:
    from pocketlm.model.folder import pocketlm_config

    config = pocketlm_config(make(**OPTIONS["all"], shortcut_ratio=8).arch, VOCAB)
    (tmp_path / "config.json").write_text(json.dumps(config))
    arch, vocab_size = import_config(tmp_path)
    assert isinstance(arch, Architecture) and arch.sharing == 3 and vocab_size == VOCAB
    for change, message in (
        ({"architecture": config["architecture"] | {"n_kv_heads": 3}}, "n_kv_heads: 3 does not divide n_heads 4"),
        ({"architecture": config["architecture"] | {"n_kv_heads": 0}}, "n_kv_heads: 0 must be above 0"),
        ({"architecture": None}, "key 'architecture' is missing"),
        ({"architecture": [1]}, "architecture: no JSON object"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ArtifactError, match=message):
            import_config(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ArtifactError, match="config.json: no JSON object, but list"):
        import_config(tmp_path)
