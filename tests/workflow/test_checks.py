"""Every impossible value is refused with one line that names file, key and remedy."""

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from pocketlm.compose import compose
from pocketlm.config import (
    Claim,
    ConfigError,
    Corpus,
    Device,
    Inherit,
    Model,
    Part,
    Plan,
    Profile,
    Source,
    Tokenizer,
    as_dict,
    parse,
)


def whole(entry: type, /, **values: Any) -> dict[str, Any]:
    """An entry with every key."""
    return as_dict(entry(**values))


def compressed(**values: str) -> dict[str, Any]:
    return whole(Tokenizer, kind="compressed", corpora=["world_text"], **values)


def inherit(**values: str) -> dict[str, Any]:
    return whole(Inherit, **values)


OTHER = whole(Tokenizer, vocab_size=512, corpora=["world_text"])
REFUSED = [
    # key, value, words of the message
    ("nonsense", 1, "nonsense: unknown key"),
    ("numerics.presicion", "fp32", "did you mean precision"),
    ("numerics.threads", "two", "'two' is not of type int"),
    ("numerics.threads", True, "is not of type int"),
    ("numerics.threads", 0, "must be above 0"),
    ("numerics.device", "tpu", "none of: cpu, cuda"),
    ("world.seed", -1, "at least 0"),
    ("world.people", 17, "choose a multiple of 8 from 16 to 48"),
    ("models", [], "not a group of entries"),
    ("search.space.n_layers", 4, "is not a list"),
    ("models.mobilellm.architecture.n_kv_heads", 5, "does not divide n_heads"),
    ("models.mobilellm.architecture.head_dim", 31, "is odd"),
    ("models.mobilellm.architecture.activation", "swish", "none of: silu"),
    ("models.mobilellm.architecture.tokenizer", "gpt2", "no tokenizer 'gpt2'; there are: world"),
    ("models.mobilellm.architecture.max_seq_len", 8, "exceeds the model's max_seq_len 8"),
    ("models.mobilellm.architecture.d_ff", 0, "must be above 0"),
    ("models.mobilellm.base", "pretrian", "no plan 'pretrian'; there are:"),
    ("models.mobilellm.base", None, "needs a plan for its base phase"),
    ("models.a0.architecture.rank", None, "needs its rank"),
    ("models.a0.architecture.rank", 1, "must be 0, 1, ..."),
    ("models.bad-name", as_dict(Model()), "letters, digits and underscores"),
    ("search.enabled", False, "but a model is searched"),
    ("search.device", "phone", "no device 'phone'; there are: local"),
    ("search.plan", "proxi", "no plan 'proxi'"),
    ("search.anchors", ["a0"], "no named model 'a0'"),
    ("search.space.head_dim", [16, 33], "33 is odd"),
    ("search.space.d_model", [], "is empty"),
    ("search.space.tokenizers", ["gpt2"], "no tokenizer 'gpt2'"),
    ("search.rungs", [], "at least one rung"),
    ("search.rungs", [{"slots": 2, "steps": 2}, {"slots": 3, "steps": 4}], "exceeds the 2 of the rung before"),
    ("search.rungs", [{"slots": 1, "steps": 2}], "fewer than the 2 searched models"),
    ("search.budget.max_params", 1, "exceeds max_params"),
    ("tokenizers.world.vocab_size", 200, "below the byte alphabet"),
    ("tokenizers.world.kind", "imported", "needs the path"),
    ("tokenizers.world.corpora", ["wrold_text"], "no corpus 'wrold_text'"),
    ("corpora.world_text.tokenizer", "gpt2", "no tokenizer 'gpt2'"),
    ("corpora.world_text.parts", {}, "at least one part"),
    ("corpora.world_text.parts.stories.source", "wiki", "no source 'wiki'; there are: world"),
    ("corpora.world_text.validation", 1.5, "at most 1"),
    ("corpora.world_text.decontaminate", ["mmlu"], "no suite 'mmlu'"),
    ("sources.world.kind", "ftp", "none of: url"),
    ("sources.world.kind", "url", "needs it; see: pocketlm pin"),
    ("sources.world.sha256", "abc", "no sha256"),
    ("plans.pretrain.corpus", "books", "no corpus 'books'"),
    ("plans.pretrain.micro_batch", 3, "does not divide by micro_batch 3"),
    ("numerics.world_size", 3, "does not divide by numerics.world_size 3"),
    ("plans.pretrain.optimizer", "sgd", "none of: muon, adamw"),
    ("plans.pretrain.lr", 0, "must be above 0"),
    ("plans.pretrain.lr", float("nan"), "finite"),
    ("plans.pretrain.warmup", 100000, "leave none"),
    ("plans.pretrain.beta2", 1.0, "below 1"),
    ("profiles.models.device", "phone", "no device 'phone'"),
    ("profiles.models.models", ["a7"], "no model 'a7'"),
    ("profiles.models.runtimes", ["onnx"], "none of: torch, llamacpp"),
    ("deployments.mobilellm-call-int8.model", "m", "no model 'm'"),
    ("deployments.mobilellm-call-int8.scheme", "int3", "none of: bf16"),
    ("deployments.mobilellm-call-int8.runtime", "llamacpp", "does not run int8"),
    ("deployments.phonelm-call-int8.phase", "chat", "none of: base"),
    ("models.phonelm.call", None, "has no phase call"),
    ("models.phonelm.inherit", inherit(model="phonelm"), "no other model 'phonelm'; there are: a0, a1, mobilellm"),
    ("models.phonelm.inherit", inherit(model="mobilellm"), "d_model=112 is above the source's 64"),
    ("models.phonelm.inherit", inherit(model="a0", units="l3"), "none of: l1, l2, taylor, mask"),
    ("models.phonelm.inherit", inherit(model="a0", phase="chat"), "none of: base"),
    ("suites.world.tasks.world_owner.source", "wiki", "no source 'wiki'"),
    ("suites.world.tasks.world_owner.chance", 25, "at most 1"),
    ("suites.world.tasks.world_owner.labels", "answers", "labels: no source 'answers'; there are: world"),
    (
        "profiles.calibration",
        whole(Profile, device="local"),
        "this name belongs to the calibration",
    ),
    (
        "sources.hub",
        whole(Source, kind="hub", repo="a/b", revision="main"),
        "hub.revision: 'main' is no commit",
    ),
    ("tokenizers.world.corpora", [], "corpora: a tokenizer of kind bpe needs at least one corpus"),
    (
        "tokenizers.small",
        compressed(base="small"),
        "no tokenizer 'small'",
    ),
    ("tokenizers.small", compressed(), "small.base: no tokenizer"),
    ("models.phonelm.architecture.kind", "imported", "path: an imported model needs the path of its Hugging Face"),
    ("search.budget.reference", "a0", "search.budget.reference: no named model 'a0'; there are: mobilellm, phonelm"),
    ("devices.phone", whole(Device, kind="ssh"), "devices.phone.host: a device of kind ssh needs its host"),
    ("devices.local.runtime", "llamacpp", "search.device: 'local' runs llama.cpp; calibration measures torch"),
    ("claims.deep", whole(Claim, a=["mobilellm"], b=["a7"]), "claims.deep.b: no model 'a7'"),
    ("claims.deep", whole(Claim, a=[], b=[]), "claims.deep.b: seeds [] are not those of a, []; pair models by seed"),
    (
        "claims.deep",
        whole(Claim, a=["a0", "a1"], b=["phonelm"]),
        "seeds [0] are not those of a, [0, 0]; pair",
    ),
]
TOGETHER: list[tuple[dict[str, Any], str]] = [
    # values that are refused only together; words of the message
    (
        {"plans.pretrain.rounds": 2, "plans.pretrain.round_share": 0},
        "plans.pretrain.round_share: must be above 0 with more than one round",
    ),
    (
        {"plans.pretrain.schedule": "wsd", "plans.pretrain.decay_shape": "exponential", "plans.pretrain.floor": 0.0},
        "plans.pretrain.floor: 0 is never reached by an exponential decay",
    ),
    (
        {"models.phonelm.architecture.kind": "imported", "models.phonelm.architecture.path": "llama"},
        "models.phonelm.base: an imported model enters trained; set it to null",
    ),
    (
        {"models.phonelm.architecture.shortcuts": 1, "models.phonelm.architecture.shortcut_ratio": 5},
        "shortcut_ratio: 5 does not divide d_model 112",
    ),
    (
        {"tokenizers.other": OTHER, "models.phonelm.architecture.tokenizer": "other"},
        "plan pretrain reads tokens of 'world', the model's tokenizer is 'other'",
    ),
    (
        {
            "tokenizers.other": OTHER,
            "corpora.other": whole(Corpus, tokenizer="other", parts={"all": Part(source="world")}),
            "plans.other": whole(Plan, corpus="other", seq_len=64),
            "models.phonelm.architecture.tokenizer": "other",
            "models.phonelm.base": "other",
            "models.phonelm.instruct": None,
            "models.phonelm.call": None,
            "models.phonelm.inherit": inherit(model="mobilellm"),
        },
        "models.phonelm.inherit.model: 'mobilellm' has another tokenizer; both must have the same",
    ),
    (
        {"numerics.world_size": 2, "numerics.compile": True},
        "numerics.compile: is not supported with several CPU ranks; set it to false",
    ),
]


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(compose("tiny", [])[0])
    return data


def put(data: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with one value changed."""
    data = copy.deepcopy(data)
    *path, last = key.split(".")
    inner = data
    for name in path:
        inner = inner[name]
    inner[last] = value
    return data


@pytest.mark.parametrize("key, value, words", REFUSED, ids=lambda value: str(value)[:40])
def test_refused(good: dict[str, Any], key: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(put(good, key, value), "params.yaml")
    message = str(caught.value)
    assert message.startswith("params.yaml: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("changes, words", TOGETHER, ids=lambda value: str(value)[:40])
def test_refused_together(good: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    """Each of the values alone passes, or is refused for another reason."""
    data = good
    for key, value in changes.items():
        data = put(data, key, value)
    with pytest.raises(ConfigError) as caught:
        parse(data, "params.yaml")
    assert str(caught.value).startswith("params.yaml: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_key_is_refused(good: dict[str, Any]) -> None:
    """With a default in its place, a changed schema would change results and nothing would be stale."""
    for key in ("numerics.compile", "models.a0.inherit", "suites.world.tasks.world_owner.limit", "claims", "_recipe"):
        data = copy.deepcopy(good)
        *path, last = key.split(".")
        del functools.reduce(lambda inner, name: inner[name], path, data)[last]
        with pytest.raises(ConfigError) as caught:
            parse(data, "runs/x/params.yaml")
        assert str(caught.value).startswith(f"runs/x/params.yaml: {key}: this key is missing")
    data = copy.deepcopy(good)
    data["_overrides"] = ["search.anchors=[phonelm]"]
    del data["world"]["people"]
    words = rf"pocketlm compose recipe=tiny 'search.anchors=\[phonelm\]' --into {Path.cwd() / 'runs/x'}"
    with pytest.raises(ConfigError, match=f"world.people: this key is missing.*{words}"):
        parse(data, "runs/x/params.yaml")


def test_inheritance_in_a_circle_is_refused(good: dict[str, Any]) -> None:
    first = put(good, "models.a0.inherit", inherit(model="a1"))
    with pytest.raises(ConfigError, match="models.a0.inherit.model: a0 from a1 from a0: inherits from itself"):
        parse(put(first, "models.a1.inherit", inherit(model="a0")))


def test_gated_relu_in_gguf_is_refused(good: dict[str, Any]) -> None:
    entry = {"model": "phonelm", "phase": "call", "scheme": "gguf_q8_0", "runtime": "llamacpp"}
    with pytest.raises(ConfigError, match=r"deployments.x.scheme: llama.cpp's llama graph has no relu activation"):
        parse(put(good, "deployments.x", entry))


def test_number_as_text_is_a_float(good: dict[str, Any]) -> None:
    """YAML reads 1e-5 as text, and dvc exp run -S writes it so."""
    assert parse(put(good, "plans.pretrain.lr", "1e-5")).plans["pretrain"].lr == 1e-5
