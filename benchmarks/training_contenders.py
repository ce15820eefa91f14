"""The contenders of ``benchmarks/training.py``, one a process: PocketLM, Hugging Face's Trainer, litgpt's pretraining.

    python benchmarks/training_contenders.py '{"contender": "ours", "shape": {...}, ...}'

A contender writes a line ``ready`` when all is loaded and its first step begins. After each optimizer step it writes
``step``, once the device is done, and waits for a line, so that the driver can interleave them. The time between two
such lines is that of a whole cycle: reading the batch, forward, backward, clipping, update, logging. litgpt is imported
from an environment of its own, hence nothing of this package at the top.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

CHANNEL = sys.stdout


def say(word: str) -> None:
    """Tell the driver, once the device has done all that it was given: CUDA only queues it."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    CHANNEL.write(word + "\n")
    CHANNEL.flush()


def gate() -> None:
    """Tell the driver that a step is done, and wait until it says go."""
    say("step")
    if sys.stdin.readline().strip() != "go":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        CHANNEL.write(json.dumps({"peak_mib": peak, "device_peak_mib": device_peak()}) + "\n")
        CHANNEL.flush()
        raise SystemExit(0)


def device_peak() -> float | None:
    """Peak memory on the GPU in MiB; None without one."""
    import torch

    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_initialized() else None


def ours(spec: dict[str, Any]) -> None:
    """PocketLM's loop over a folder of tokens."""
    from pocketlm import numerics
    from pocketlm.config import Architecture, Numerics, Plan
    from pocketlm.data.reader import TokenReader
    from pocketlm.training.job import TrainJob
    from pocketlm.training.loop import Trainer

    plan = Plan(
        seq_len=spec["seq_len"], batch_size=spec["batch"], micro_batch=spec["micro_batch"], steps=10**6,
        optimizer="adamw", lr=3e-4, schedule="cosine",
        warmup=100, weight_decay=0.1, grad_clip=1.0, checkpoint_every=10**6, log_every=10, validate_every=0,
    )  # fmt: skip
    setting = Numerics(
        device=spec["device"], precision="bf16", threads=spec["threads"], compile=spec["compile"], world_size=1
    )
    reader = TokenReader(spec["tokens"], "train", plan.seq_len, plan.batch_size, 0)
    arch = Architecture(**spec["shape"], max_seq_len=plan.seq_len)
    trainer = Trainer(TrainJob(arch, spec["vocab"], plan, reader, 0, setting), numerics.apply(setting))
    trainer.resume()
    say("ready")
    while True:
        trainer.step()
        trainer.after_step()
        gate()


class Windows:
    """What a user of the Trainer or of litgpt writes: windows of a memory-mapped token file."""

    def __init__(self, spec: dict[str, Any], extra: int) -> None:
        self.tokens = np.memmap(Path(spec["tokens"]) / "train.text.bin", dtype="uint16", mode="r")
        self.length, self.step = spec["seq_len"] + extra, spec["seq_len"]

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.step

    def row(self, index: int) -> Any:
        import torch

        start = index * self.step
        return torch.from_numpy(self.tokens[start : start + self.length].astype(np.int64))


def hf(spec: dict[str, Any]) -> None:
    """Hugging Face's Trainer as its documentation configures it for bf16; the defaults for all else."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    torch.set_num_threads(spec["threads"])
    shape = spec["shape"]
    config = LlamaConfig(
        vocab_size=spec["vocab"], hidden_size=shape["d_model"], intermediate_size=shape["d_ff"],
        num_hidden_layers=shape["n_layers"], num_attention_heads=shape["n_heads"],
        num_key_value_heads=shape["n_kv_heads"], head_dim=shape["head_dim"], tie_word_embeddings=True,
        max_position_embeddings=spec["seq_len"], use_cache=False,
    )  # fmt: skip

    class Rows(Windows, torch.utils.data.Dataset):  # type: ignore[type-arg,misc]
        def __getitem__(self, index: int) -> dict[str, Any]:
            ids = self.row(index)
            return {"input_ids": ids, "labels": ids}

    class Gate(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            say("ready")

        def on_step_end(self, *_: Any, **__: Any) -> None:
            gate()

    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out, per_device_train_batch_size=spec["micro_batch"], max_steps=10**6, bf16=True,
            gradient_accumulation_steps=spec["batch"] // spec["micro_batch"],
            use_cpu=spec["device"] == "cpu", torch_compile=spec["compile"], save_strategy="no", logging_steps=10,
            report_to="none", learning_rate=3e-4, weight_decay=0.1, lr_scheduler_type="cosine", disable_tqdm=True,
        )  # fmt: skip
        Trainer(LlamaForCausalLM(config), arguments, train_dataset=Rows(spec, 0), callbacks=[Gate()]).train()


def litgpt(spec: dict[str, Any]) -> None:
    """litgpt's ``pretrain``, which always compiles; the batch in one micro-batch is its fastest."""
    import torch
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.config import Config
    from litgpt.data import DataModule
    from litgpt.pretrain import setup

    torch.set_num_threads(spec["threads"])
    shape = spec["shape"]
    config = Config(
        name="benchmark", block_size=spec["seq_len"], n_layer=shape["n_layers"], n_embd=shape["d_model"],
        n_head=shape["n_heads"], n_query_groups=shape["n_kv_heads"], head_size=shape["head_dim"],
        intermediate_size=shape["d_ff"], vocab_size=spec["vocab"], padded_vocab_size=spec["vocab"], bias=False,
        rotary_percentage=1.0, parallel_residual=False, norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP",
    )  # fmt: skip

    class Rows(Windows, torch.utils.data.Dataset):  # type: ignore[type-arg,misc]
        def __len__(self) -> int:
            return super().__len__() - 1

        def __getitem__(self, index: int) -> Any:
            return self.row(index)

    class Gated(torch.utils.data.DataLoader):  # type: ignore[type-arg]
        """Asking for the next batch ends a step, of so many micro-batches: litgpt has no callbacks."""

        said = False

        def __iter__(self) -> Any:
            if not self.said:
                say("ready")
                self.said = True
            for number, batch in enumerate(super().__iter__()):
                if number and number % (spec["batch"] // spec["micro_batch"]) == 0:
                    gate()
                yield batch

    class Data(DataModule):  # type: ignore[misc]
        def connect(self, *_: Any, **__: Any) -> None:
            pass

        def train_dataloader(self) -> Any:
            return Gated(Rows(spec, 1), batch_size=spec["micro_batch"], shuffle=True)

        def val_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(
                torch.utils.data.Subset(Rows(spec, 1), range(spec["batch"])), batch_size=spec["batch"]
            )

    train = TrainArgs(
        save_interval=None, log_interval=10, global_batch_size=spec["batch"], micro_batch_size=spec["micro_batch"],
        max_tokens=10**12, max_norm=1.0, min_lr=3e-5, lr_warmup_steps=100, tie_embeddings=True,
        max_seq_length=spec["seq_len"],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as out:
        setup(
            "benchmark", config, Path(out), spec["precision"], data=Data(), train=train, logger_name="csv",
            eval=EvalArgs(interval=10**9, max_iters=1, initial_validation=False), devices=1,
        )  # fmt: skip


def main() -> None:
    """Run the contender that the argument describes; its own words go to stderr."""
    spec = json.loads(sys.argv[1])
    sys.stdout = sys.stderr
    {"ours": ours, "hf": hf, "litgpt": litgpt}[spec["contender"]](spec)


if __name__ == "__main__":
    main()
