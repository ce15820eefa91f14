"""lm-eval's model interface over a ``Decoder`` and its tokenizer, with the encoding rules of lm-eval's own HFLM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from pocketlm.data.chat import Chat
from pocketlm.model.decoder import Decoder
from pocketlm.scoring.decode import greedy
from pocketlm.scoring.likelihood import fit, score

Pair = tuple[Any, list[int], list[int]]


class DecoderLM(TemplateLM):
    """``loglikelihood``, ``loglikelihood_rolling`` and greedy ``generate_until`` of a decoder.

    ``watch(message)`` is called before each part of the work, for the progress line.
    """

    def __init__(
        self,
        decoder: Decoder,
        chat: Chat,
        max_length: int,
        batch_size: int = 64,
        watch: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self.decoder, self.chat, self.max_length, self.batch = decoder.eval(), chat, max_length, batch_size
        self.watch = watch or (lambda message: None)
        self.encoded: dict[str, list[int]] = {}

    @property
    def eot_token_id(self) -> int:
        return self.chat.eos_id

    @property
    def tokenizer_name(self) -> str:
        return "pocketlm"

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Ids without added tokens; contexts come back once for each choice, so they are remembered."""
        if string not in self.encoded:
            self.encoded[string] = list(self.chat.tokenizer.encode(string, add_special_tokens=False).ids)
        return self.encoded[string]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        result: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return result

    def _loglikelihood_tokens(self, requests: Sequence[Pair], **kwargs: Any) -> list[tuple[float, bool]]:
        self.watch(f"{len(requests):,} log-likelihoods")
        fitted = [fit(context, continuation, self.max_length) for _, context, continuation in requests]
        return score(self.decoder, fitted, self.batch)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood of whole documents, in disjoint windows of ``max_length``."""
        pairs: list[Pair] = []
        owners: list[int] = []
        for index, (string,) in enumerate(request.args for request in requests):
            windows = get_rolling_token_windows(self.tok_encode(string), self.prefix_token_id, self.max_length, 1)
            for context, continuation in map(make_disjoint_window, windows):
                pairs.append((None, context, continuation))
                owners.append(index)
        totals = [0.0] * len(requests)
        for index, (value, _) in zip(owners, self._loglikelihood_tokens(pairs), strict=True):
            totals[index] += value
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy answers, up to a stop id or one of the ``until`` strings."""
        self.watch(f"{len(requests):,} answers")
        limit = max(int(request.args[1].get("max_gen_toks", 64)) for request in requests)
        prompts = [self.tok_encode(request.args[0])[-(self.max_length - limit) :] for request in requests]
        outputs = greedy(self.decoder, prompts, limit, self.chat.stop_ids, self.batch)
        return [self._text(ids, request.args[1]) for ids, request in zip(outputs, requests, strict=True)]

    def _text(self, ids: list[int], arguments: dict[str, Any]) -> str:
        text: str = self.chat.tokenizer.decode(ids[: int(arguments.get("max_gen_toks", 64))], skip_special_tokens=True)
        for stop in arguments.get("until") or []:
            text = text.split(stop)[0] if stop else text
        return text
