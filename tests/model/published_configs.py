"""config.json files as the papers' authors published them."""

from __future__ import annotations

from typing import Any

# configs/125M/config.json of the authors' repository at 1e67bf6, key by key
MOBILELLM_125M: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.02, "intermediate_size": 1536,
    "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30,
    "num_key_value_heads": 3, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0,
    "tie_word_embeddings": False, "torch_dtype": "float16", "transformers_version": "4.34.1", "use_cache": True,
    "vocab_size": 32000,
}  # fmt: skip
FLAGS = {"share_embedding": True, "layer_sharing": False}  # what the hub's copy adds to it
# values of its released code; the names are those of its own training configuration and of transformers
PHONELM_1_5B: dict[str, Any] = {
    "model_type": "phonelm", "vocab_size": 49152, "hidden_size": 2560, "intermediate_size": 6816,
    "num_hidden_layers": 19, "hidden_act": "relu", "num_attention_heads": 16, "num_key_value_heads": 16,
    "max_position_embeddings": 2048, "initializer_range": 0.02, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
    "rope_scaling": None, "attention_bias": False, "attention_dropout": 0.0, "tie_word_embeddings": True,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
# what transformers 4.56 writes of the hub's copy
HUB_MOBILELLM_125M: dict[str, Any] = {
    "architectures": ["MobileLLMForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_mobilellm.MobileLLMConfig",
        "AutoModelForCausalLM": "modeling_mobilellm.MobileLLMForCausalLM",
    },
    "bos_token_id": 1, "dtype": "float32", "eos_token_id": 2, "head_dim": 64, "hidden_act": "silu", "hidden_size": 576,
    "initializer_range": 0.02, "intermediate_size": 1536, "layer_sharing": False, "max_position_embeddings": 2048,
    "mlp_bias": False, "model_type": "mobilellm", "num_attention_heads": 9, "num_hidden_layers": 30,
    "num_key_value_heads": 3, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0,
    "share_embedding": True, "tie_word_embeddings": False, "transformers_version": "4.56.0", "use_cache": True,
    "vocab_size": 32000,
}  # fmt: skip
