"""Learned importance: a gate on every channel, query head, key/value pair and neuron, trained while weights are frozen.

PanGu-pi Pro found a learned mask best of its criteria (2402.02791) and published no code; how the gates are trained
here is ours: sigmoid gates that start open, Adam, the loss plus the mean gate. A gate's value is its unit's score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from pocketlm.inheritance.units import Batch, Scores
from pocketlm.model.decoder import Decoder
from pocketlm.model.layers import Block

OPEN = 3.0  # the gates' first logit: sigmoid 0.95


class Gates(nn.Module):
    """Logits of all gates of a decoder."""

    def __init__(self, arch: Any) -> None:
        super().__init__()
        layers = arch.n_layers
        self.channels = nn.Parameter(torch.full((arch.d_model,), OPEN))
        self.queries = nn.Parameter(torch.full((layers, arch.n_heads), OPEN))
        self.pairs = nn.Parameter(torch.full((layers, arch.n_kv_heads), OPEN))
        self.neurons = nn.Parameter(torch.full((layers, arch.d_ff), OPEN))

    def closed(self) -> Tensor:
        """The mean gate of each kind, summed: what the penalty closes."""
        return torch.stack([gate.sigmoid().mean() for gate in self.parameters()]).sum()


def before(gate: Callable[[], Tensor]) -> Callable[..., tuple[Tensor]]:
    """A hook that multiplies a module's input."""
    return lambda _, inputs: (inputs[0] * gate(),)


def after(gate: Callable[[], Tensor]) -> Callable[..., Tensor]:
    """A hook that multiplies a module's output."""
    return lambda _, __, output: output * gate()


@contextmanager
def gated(model: Decoder, gates: Gates) -> Iterator[None]:
    """Run the decoder through its gates: what the norms give out, the attention's heads, the feed-forward's neurons.

    A key/value head's gate stands on the heads that read it: its values are what reaches them.
    """
    arch = model.arch
    group = arch.n_heads // arch.n_kv_heads

    def heads(number: int) -> Tensor:
        both = gates.queries[number].sigmoid() * gates.pairs[number].sigmoid().repeat_interleave(group)
        return both.repeat_interleave(arch.head_dim)

    def neurons(number: int) -> Tensor:
        return gates.neurons[number].sigmoid()

    channels = after(lambda: gates.channels.sigmoid())
    with ExitStack() as stack:
        stack.callback(model.model.norm.register_forward_hook(channels).remove)
        for number, block in enumerate(cast(Iterable[Block], model.model.layers)):
            hooks = [
                block.input_layernorm.register_forward_hook(channels),
                block.post_attention_layernorm.register_forward_hook(channels),
                block.self_attn.o_proj.register_forward_pre_hook(before(partial(heads, number))),
                block.mlp.down_proj.register_forward_pre_hook(before(partial(neurons, number))),
            ]
            for hook in hooks:
                stack.callback(hook.remove)
        yield


def learn(model: Decoder, batches: Sequence[Batch], steps: int, rate: float, penalty: float) -> Scores:
    """Train the gates for ``steps`` batches, in turn; the decoder's weights stay as they are."""
    gates = Gates(model.arch)
    optimizer = torch.optim.Adam(gates.parameters(), lr=rate)
    frozen = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in frozen:
        parameter.requires_grad_(False)
    with gated(model, gates):
        for step in range(steps):
            inputs, targets, documents = batches[step % len(batches)]
            loss = model.loss(inputs, targets, documents) + penalty * gates.closed()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    for parameter, wanted in frozen:
        parameter.requires_grad_(wanted)
    found = {name: logits.detach().double() for name, logits in gates.named_parameters()}
    return Scores(found["channels"], found["queries"], found["pairs"], found["neurons"])
