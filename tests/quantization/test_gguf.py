"""GGUF files, read back with the gguf library; a check in llama.cpp runs where llama-cpp-python is installed."""

import llama_folder
import numpy as np
import pytest
import torch

from pocketlm.artifacts import ArtifactError, read_json
from pocketlm.config import Architecture
from pocketlm.deployable import unsupported
from pocketlm.quantization import gguf_read, gguf_write, load_deployed, load_quantized, sizes

TEXTS = [
    "Anna has 1234 apples.",
    "it's  7:30\n\n\tBen's über-ball 北京 🙂",
    "   spaces, 3.14 and x=2",
    "<|user|>hi<|end|>",
]


@pytest.fixture(scope="module")
def files(folder, untied, tmp_path_factory):
    """{(model, scheme): folder}"""
    made = {}
    for model, source in (("tied", folder), ("untied", untied)):
        for scheme in ("gguf_q8_0", "gguf_q4_0") if model == "tied" else ("gguf_q8_0",):
            out = made[model, scheme] = tmp_path_factory.mktemp("gguf")
            gguf_write.write_gguf(source, out, scheme)
    return made


def test_weights_read_back(files, folder, untied):
    """Every value within half a step of its block (fp16 scales): q8_0 peak / 127, q4_0 peak / 8; odd widths fp16."""
    from safetensors.torch import load_file

    for source, model, scheme, steps in ((untied, "untied", "gguf_q8_0", 127), (folder, "tied", "gguf_q4_0", 8)):
        want = {name: value.float().numpy() for name, value in load_file(source / "model.safetensors").items()}
        found = gguf_read.weights(files[model, scheme] / "model.gguf")
        assert found.keys() == want.keys()
        for name, value in found.items():
            own = 127 if not name.startswith("model.layers") else steps
            if value.ndim == 1:
                np.testing.assert_array_equal(value, want[name])
            elif value.shape[1] % 32:
                np.testing.assert_allclose(value, want[name], rtol=1e-3, atol=1e-6)
            else:
                peak = np.abs(want[name]).reshape(value.shape[0], -1, 32).max(-1).repeat(32, -1).reshape(value.shape)
                assert (np.abs(value - want[name]) <= peak / own * (1.01 if own == 8 else 0.57) + 1e-6).all(), name


def test_permutation_pairs_neighbours():
    """Row r of a head's first half and row r of its second half stand side by side; the inverse restores them."""
    weight = np.arange(16, dtype=np.float32).reshape(16, 1)
    permuted = gguf_write.permuted(weight, 2)
    assert permuted[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]
    np.testing.assert_array_equal(gguf_read.restored(permuted, 2), weight)


@torch.no_grad()
def test_decoder_from_gguf(files, folder):
    ids = torch.randint(6, 320, (2, 24), generator=torch.Generator().manual_seed(0))
    full = load_quantized(folder)
    want = full.logits(full(ids))
    for scheme, limit in (("gguf_q8_0", 0.03), ("gguf_q4_0", 0.4)):
        ours = load_quantized(files["tied", scheme])
        assert (ours.logits(ours(ids)) - want).std() < limit * want.std()


def test_header(files):
    from gguf import GGUFReader

    reader = GGUFReader(files["tied", "gguf_q8_0"] / "model.gguf")

    def value(key):
        return reader.get_field(key).contents()

    assert value("general.architecture") == "llama"
    assert value("tokenizer.ggml.model") == "gpt2" and value("tokenizer.ggml.pre") == "smollm"
    assert value("tokenizer.ggml.tokens")[:5] == ["<|endoftext|>", "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"]
    assert value("tokenizer.ggml.token_type")[:8] == [3] * 6 + [1, 1]
    assert value("tokenizer.ggml.eos_token_id") == 0 and value("tokenizer.ggml.eot_token_id") == 4
    assert "output.weight" not in {tensor.name for tensor in reader.tensors}  # tied


def test_sizes(files):
    eight, four = (sizes.measure(files["tied", s]) for s in ("gguf_q8_0", "gguf_q4_0"))
    assert four["linear_bytes"] * 34 == eight["linear_bytes"] * 18  # bytes of a block of 32
    assert four["embedding_bytes"] == eight["embedding_bytes"] == 320 * 64 * 34 // 32


@torch.no_grad()
def test_shared_blocks_are_written_out(tmp_path):
    from llama_folder import ARCHITECTURE

    from pocketlm.model.decoder import Decoder
    from pocketlm.model.folder import save_model

    source = llama_folder.make(tmp_path / "tokens")
    architecture = Architecture(**(ARCHITECTURE | {"sharing": 2, "init_std": 0.15}))
    save_model(Decoder(architecture, 320).state_dict(), architecture, 320, source, tmp_path / "base", "base")
    (tmp_path / "gguf").mkdir()
    gguf_write.write_gguf(tmp_path / "base", tmp_path / "gguf", "gguf_q8_0")
    ours, written, _ = load_deployed(tmp_path / "gguf")
    assert (written.n_layers, written.sharing) == (4, 1)
    ids = torch.randint(6, 320, (1, 16), generator=torch.Generator().manual_seed(0))
    full = load_quantized(tmp_path / "base")
    want = full.logits(full(ids))
    assert (ours.logits(ours(ids)) - want).std() < 0.03 * want.std()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"activation": "relu"}, "no relu activation"),
        ({"gated": False}, "no plain FFN"),
        ({"rope_int8": True}, "int8-rounded RoPE"),
        ({"series": 2}, "series activation"),
    ],
)
def test_what_llama_cpp_cannot_run(changes, reason):
    assert reason in unsupported(Architecture(**changes), "gguf_q8_0")
    assert unsupported(Architecture(), "gguf_q8_0") is None


def test_q4_0_needs_rows_of_whole_groups():
    assert unsupported(Architecture(d_model=72), "gguf_q8_0") is None
    assert "row of 72" in unsupported(Architecture(d_model=72), "gguf_q4_0")


def test_unknown_pre_tokenizer_is_refused(folder):
    data = read_json(folder / "tokenizer.json")
    data["pre_tokenizer"] = {"type": "Metaspace"}
    with pytest.raises(ArtifactError, match="use a byte-level BPE tokenizer"):
        gguf_write.pre_tokenizer(data)


@pytest.mark.parametrize(
    ("model", "scheme", "rule"),
    [
        ("tied", "gguf_q8_0", "smollm"),
        ("tied", "gguf_q4_0", "smollm"),
        ("untied", "gguf_q8_0", "smollm"),
        ("runs of digits", "gguf_q8_0", "gpt-2"),
    ],
)
def test_llama_cpp_computes_the_same(files, folder, untied, tmp_path, model, scheme, rule):
    """The same ids and, but for activations that llama.cpp rounds to 8 bits, the same logits."""
    llama_cpp = pytest.importorskip("llama_cpp")
    from tokenizers import Tokenizer

    if rule == "gpt-2":
        source = llama_folder.make(tmp_path / "hf", digits=False)
        file = tmp_path / "model.gguf"
        gguf_write.write_gguf(source, tmp_path, scheme)
    else:
        source, file = {"tied": folder, "untied": untied}[model], files[model, scheme] / "model.gguf"
    llama = llama_cpp.Llama(str(file), n_ctx=96, logits_all=True, verbose=False, n_threads=1)
    assert llama.metadata["tokenizer.ggml.pre"] == rule
    ours = Tokenizer.from_file(str(source / "tokenizer.json"))
    for text in TEXTS:
        assert (
            llama.tokenize(text.encode(), add_bos=False, special=True)
            == ours.encode(text, add_special_tokens=False).ids
        )
    decoder = load_quantized(file.parent)
    ids = ours.encode(" ".join(TEXTS[:1] * 3)).ids
    llama.eval(ids)
    want = decoder.logits(decoder(torch.tensor([ids])))[0].detach().numpy()
    assert np.abs(llama.scores[: len(ids)] - want).mean() < 0.02 * want.std()
