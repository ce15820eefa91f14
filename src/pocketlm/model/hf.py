"""The decoder as a Hugging Face model: ``from_pretrained``, ``generate`` and lm-eval work on it.

This file travels inside model folders as ``modeling_pocketlm.py``, beside the decoder's own files; inside the package,
``register()`` makes the Auto classes know it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache as HFCache
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from .decoder import Trunk, init_tensor
from .layers import Linear


class PocketLMConfig(PreTrainedConfig):
    """config.json of a folder that is no Llama: Llama's names, and ``architecture`` with the fields of ours."""

    model_type = "pocketlm"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(self, architecture: dict[str, Any] | None = None, vocab_size: int = 512, **kwargs: Any) -> None:
        kwargs.setdefault("tie_word_embeddings", bool((architecture or {}).get("tied", True)))
        self.architecture = dict(architecture or {})
        self.vocab_size = vocab_size
        for name in ("rope_theta", "rope_parameters"):  # the architecture says it; nothing here needs scaling
            kwargs.pop(name, None)
        super().__init__(**kwargs)
        if architecture:
            self.hidden_size = architecture["d_model"]
            self.num_hidden_layers = architecture["n_layers"] * architecture["sharing"]
            self.num_attention_heads = architecture["n_heads"]
            self.num_key_value_heads = architecture["n_kv_heads"]
            self.head_dim = architecture["head_dim"]
            self.max_position_embeddings = architecture["max_seq_len"]


class Slots:
    """A transformers cache as the decoder's: one layer for each execution of a block."""

    def __init__(self, cache: HFCache) -> None:
        self.cache, self.length = cache, int(cache.get_seq_length())

    def update(self, slot: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.cache.update(keys.contiguous(), values.contiguous(), slot)
        return keys, values

    def advance(self, count: int) -> None:
        self.length += count


def padding_mask(attention_mask: Tensor, new: int, dtype: torch.dtype) -> Tensor | None:
    """Additive mask [B, 1, new, S] of a padding mask [B, S] (1 = token); None where nothing is padded.

    A padded query sees itself, so that its row of the softmax is defined.
    """
    if bool(attention_mask.all()):
        return None
    total = attention_mask.shape[1]
    index = torch.arange(total, device=attention_mask.device)
    queries = index[total - new :, None]
    allowed = (index <= queries) & attention_mask.bool()[:, None, None, :] | (index == queries)
    mask = torch.zeros(allowed.shape, dtype=dtype, device=attention_mask.device)
    return mask.masked_fill_(~allowed, float("-inf"))


class PocketLMForCausalLM(PreTrainedModel, GenerationMixin):
    """Tensors have Llama's names: ``model.layers.0.self_attn.q_proj.weight``, ..."""

    config_class = PocketLMConfig
    base_model_prefix = "model"
    _no_split_modules = ["Block"]
    _supports_sdpa = True
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: PocketLMConfig) -> None:
        super().__init__(config)
        arch = SimpleNamespace(**config.architecture)
        self.model = Trunk(arch, config.vocab_size)
        self.lm_head = Linear(arch.d_model, config.vocab_size)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.embed_tokens

    def set_input_embeddings(self, value: Any) -> None:
        self.model.embed_tokens = value

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        self.lm_head = new_embeddings

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        for name, parameter in module.named_parameters(recurse=False):
            if not getattr(parameter, "_is_hf_initialized", False):
                kind = f"{'norm.' if type(module).__name__ == 'RMSNorm' else ''}{name}"
                init_tensor(kind, parameter, 0, self.config.architecture["init_std"])

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: HFCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """input_ids [B, T], attention_mask [B, past + T] -> logits [B, T, V]; loss where labels are given."""
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        slots = None if past_key_values is None else Slots(past_key_values)
        mask = None
        if attention_mask is not None:
            mask = padding_mask(attention_mask, input_ids.shape[1], self.model.embed_tokens.weight.dtype)
            if mask is not None and position_ids is None:
                position_ids = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -input_ids.shape[1] :]
        hidden = self.model(input_ids, None if mask is None else position_ids, mask, slots)
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) and logits_to_keep else slice(None)
        logits = self.lm_head(hidden[:, logits_to_keep if isinstance(logits_to_keep, Tensor) else keep])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)


def register() -> None:
    """Make AutoConfig and AutoModelForCausalLM know ``model_type: pocketlm``."""
    AutoConfig.register("pocketlm", PocketLMConfig, exist_ok=True)
    AutoModelForCausalLM.register(PocketLMConfig, PocketLMForCausalLM, exist_ok=True)
