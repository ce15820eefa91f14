"""The one training loop: pre-training, rounds, instruction and call tuning, and the trials of the search.

Killed at any instant and started again, a training ends in the same bytes: a step is a pure function of the weights,
the optimizer's state and the step's number, and a checkpoint holds all three.
"""

from __future__ import annotations

import io
import itertools
import math
from typing import Any

import torch
from torch import Tensor

from pocketlm import numerics
from pocketlm.artifacts import ArtifactError
from pocketlm.progress import Progress
from pocketlm.training import metrics, schedules
from pocketlm.training.batches import keep_losses
from pocketlm.training.checkpoint import Checkpoints
from pocketlm.training.interrupts import Interrupts
from pocketlm.training.job import Batch, Diverged, TrainJob, TrainResult, check_plan
from pocketlm.training.parallel import strategy
from pocketlm.training.prefetch import Prefetch
from pocketlm.training.rounds import RoundOrder
from pocketlm.training.validation import count_targets, held_out
from pocketlm.training.watch import Watch

DIVERGED = 1.5  # a loss so many times that of guessing (or of the first window) will not come back


def train(job: TrainJob) -> TrainResult:
    """Train as ``job`` says and return weights, metrics and curve.

    Resumes from ``job.checkpoints`` where a sound one is. The caller writes the artefacts, then calls
    ``Checkpoints(job.checkpoints).remove()``. Raises Diverged, ConfigError (the machine cannot honour the numerics),
    ArtifactError (disk full: the last good checkpoint is intact), KeyboardInterrupt (a checkpoint was written).
    """
    check_plan(job.plan, job.numerics)
    trainer = Trainer(job, numerics.apply(job.numerics))
    try:
        trainer.resume()
        with Interrupts() as interrupts, trainer.watch:
            while trainer.done < trainer.order.total:
                trainer.step()
                trainer.after_step()
                if trainer.parallel.agreed(interrupts.caught is not None):
                    trainer.stop()
        trainer.progress.close()
        return trainer.result()
    except RuntimeError as error:
        if trainer.parallel.lost_another(error):
            raise ArtifactError(
                f"{job.label}: rank {trainer.runtime.rank} lost another rank, whose own message says why; "
                "the same command goes on from the last checkpoint"
            ) from error
        raise
    finally:
        trainer.batches.close()
        trainer.parallel.leave()


class Trainer:
    """State of one training: model, optimizer, order of batches, losses and norms of the steps that are done."""

    def __init__(self, job: TrainJob, runtime: numerics.Runtime) -> None:
        from pocketlm.model.decoder import Decoder
        from pocketlm.model.state import check_state

        self.job, self.plan, self.runtime = job, job.plan, runtime
        torch.manual_seed(job.seed)
        model = Decoder(job.arch, job.vocab_size, job.seed)  # on the CPU: the same first weights on every device
        if job.init_state is not None:
            shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
            check_state(job.init_state, shapes, f"{job.label}: the weights that it starts from")
            model.load_state_dict(job.init_state)
        self.parallel = strategy(runtime, job.numerics.parallel)
        self.model = self.parallel.place(model)
        self.loss_of = self.parallel.loss_of(self.model)
        self.optimizer = self.parallel.optimizer(self.model, job.plan, job.arch.d_model)
        self.order = RoundOrder(job.plan, job.seed)
        self.batches = Prefetch(job.reader, runtime.device)
        self.done = 0
        self.losses = torch.zeros(self.order.total, device=runtime.device)
        self.norms = torch.zeros(self.order.total, device=runtime.device)
        self.checked = 0  # steps whose losses were looked at
        self.curve: list[dict[str, Any]] = []
        self.validation: tuple[float, float] | None = None  # nats a token, bits a byte
        self.checkpoints = None if job.checkpoints is None else Checkpoints(job.checkpoints, self._say, self.parallel)
        self.tokens = job.plan.batch_size * job.plan.seq_len
        self.share = job.plan.batch_size // runtime.world_size  # rows of a step that are this rank's
        self.micro = min(job.plan.micro_batch or self.share, self.share)  # rows of a forward pass
        self.progress = self._progress(0)
        self.timing = metrics.timing_log(job, runtime, count_params(self.model), self.tokens)
        self.watch = Watch(self._say, lambda step: self.order.batch_of(step, self.losses))

    def resume(self) -> None:
        """Go on from the newest sound checkpoint, where there is one."""
        tensors = self.tensors()
        facts = None if self.checkpoints is None else self.checkpoints.load(tensors)
        if facts is not None:
            self.done = self.checked = facts["done"]
            self.curve, self.validation = facts["curve"], facts["validation"]
            torch.set_rng_state(tensors["rng"])
            if self.runtime.device.type == "cuda":
                torch.cuda.set_rng_state(tensors["cuda_rng"], self.runtime.device)
            self._say(f"going on from the checkpoint of step {self.done}")
        self.progress = self._progress(self.done)
        self.timing.restart(self.done)

    def step(self) -> None:
        """One optimizer step: micro-batches, clipping, update. Nothing here waits for the device."""
        _, index = self.order.batch_of(self.done, self.losses)
        batch = self.watch.read(lambda: self.batches.get(index, self._following()), index, self.done)
        loss = self._backward(batch, index)
        self.norms[self.done] = self.optimizer.clip(self.plan.grad_clip)
        self.optimizer.step(schedules.factor(self.done, self.order.total, self.plan))
        self.optimizer.zero_grad()
        self.losses[self.done] = loss
        self.done += 1

    def _following(self) -> int | None:
        """The batch of the next step; None where it is not known yet: the next round is drawn from this step's loss."""
        following = self.done + 1
        return None if following in self.order.starts else self.order.batch_of(following, self.losses)[1]

    def _backward(self, batch: Batch, index: int) -> Tensor:
        """Gradients of the batch's mean loss over its unmasked targets; the loss [] (over all ranks)."""
        total = count_targets(batch.targets)
        if total == 0:
            raise ArtifactError(
                f"{self.job.label}: batch {index} has no token that carries a loss; use a longer seq_len in its plan"
            )
        first = self.runtime.rank * self.share
        loss = torch.zeros((), device=self.runtime.device)
        for start in range(first, first + self.share, self.micro):
            part = self._loss(batch.rows(slice(start, start + self.micro))) / total
            part.backward()
            loss += part.detach()
        return self.parallel.reduce(loss, self.optimizer)

    def _loss(self, batch: Batch) -> Tensor:
        """The sum of the losses of a batch in nats []."""
        moved = batch.to(self.runtime.device)
        with self.runtime.autocast():
            loss: Tensor = self.loss_of(moved.inputs, moved.targets, moved.documents, moved.positions, "sum")
        return loss

    def after_step(self) -> None:
        """What is due at this step: check, log, validate, checkpoint."""
        done, last = self.done, self.done == self.order.total
        log = last or done % self.plan.log_every == 0 or done in self.order.starts
        validate = last or (self.plan.validate_every > 0 and done % self.plan.validate_every == 0)
        save = self.checkpoints is not None and not last and done % self.plan.checkpoint_every == 0
        save = save and self.checkpoints is not None and self.checkpoints.affordable()
        if log or validate:
            window = self.check()
            if validate:
                self.validation = self.validate()
            self._log(window, self.validation[1] if validate and self.validation else None)
        if save:
            self.save()
        if validate or save:
            self.timing.restart(done)
        if done in self.order.starts and self.runtime.rank == 0:
            keep_losses(self.job, self.losses[:done].cpu())
        self.progress.update(done)

    def look(self) -> Tensor:
        """The losses [done] on the CPU; raises Diverged at the first step whose loss or gradient norm is not finite."""
        losses, norms = self.losses[: self.done].cpu(), self.norms[: self.done].cpu()
        bad = torch.nonzero(~(torch.isfinite(losses) & torch.isfinite(norms))[self.checked :])
        if len(bad):
            step = self.checked + int(bad[0])
            loss, norm = float(losses[step]), float(norms[step])
            what = f"gradient norm is {norm}" if math.isfinite(loss) else f"loss is {loss}"
            raise self._diverged(step, f"its {what}")
        self.watch.losses(losses, self.checked)
        self.checked = self.done
        return losses

    def check(self) -> float:
        """Mean loss of the last ``log_every`` steps; raises Diverged where it is far worse than guessing.

        Called at steps that the plan fixes. Checkpoints and interrupts come when they come: they only ``look``, so
        that where a training fails does not depend on them.
        """
        losses, every = self.look(), self.plan.log_every
        window = float(losses[max(0, self.done - every) :].mean())
        limit = DIVERGED * max(math.log(self.job.vocab_size), float(losses[:every].mean()))
        if window > limit:
            raise self._diverged(self.done - 1, f"its loss is {window:.2f}, above {limit:.2f}, far worse than guessing")
        return window

    def _diverged(self, step: int, why: str) -> Diverged:
        round_, index = self.order.batch_of(step, self.losses)
        return Diverged(self.job.label, step + 1, round_, index, why)

    def validate(self) -> tuple[float, float] | None:
        """Held-out loss in (nats a token, bits a byte); None without held-out data."""
        batches = self.plan.validation_batches
        return held_out(self.job.validation, batches, self.micro, self.parallel, self._loss)

    def _log(self, window: float, val_bpb: float | None) -> None:
        step = self.done
        rate = self.optimizer.lr * schedules.factor(step - 1, self.order.total, self.plan)
        row = {
            "step": step,
            "round": self.order.round_of(step - 1),
            "loss": metrics.rounded(window),
            "lr": metrics.rounded(rate),
            "grad_norm": metrics.rounded(float(self.norms[step - 1])),
            "val_bpb": metrics.rounded(val_bpb),
        }
        self.curve.append(row)
        self.progress.update(step, loss=window)
        self.timing.write(step, window)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that the rest of the training depends on, by name, as this rank holds it."""
        state = self.parallel.layout(self.model, self.optimizer)
        state |= {"losses": self.losses, "norms": self.norms, "rng": torch.get_rng_state()}
        if self.runtime.device.type == "cuda":
            state["cuda_rng"] = torch.cuda.get_rng_state(self.runtime.device)
        return state

    def save(self) -> None:
        """Write a checkpoint, never one after a NaN (Diverged); all ranks call it at the same step."""
        if self.checkpoints is not None:
            self.look()
            facts = {"done": self.done, "curve": self.curve, "validation": self.validation}
            self.checkpoints.save(self.done, facts, self.tensors())

    def stop(self) -> None:
        """Write a checkpoint where there is a place for it, and raise KeyboardInterrupt."""
        if self.checkpoints is None:
            raise KeyboardInterrupt(f"{self.job.label}: interrupted at step {self.done}")
        self.save()
        self._say(f"interrupted at step {self.done}; the same command goes on from there")
        raise KeyboardInterrupt

    def result(self) -> TrainResult:
        """Weights on the CPU, metrics and curve of a finished training."""
        window = self.check()
        nats, bits = self.validation or (None, None)
        starts, losses = self.order.starts, self.losses.cpu()
        rounds = [float(losses[a:b].mean()) for a, b in itertools.pairwise(starts)]
        found = {
            "steps": self.order.total,
            "tokens": self.order.total * self.tokens,
            "params": count_params(self.model),
            "train_loss": metrics.rounded(window),
            "val_loss": metrics.rounded(nats),
            "val_bits_per_byte": metrics.rounded(bits),
            "round_losses": [metrics.rounded(loss) for loss in rounds],
        }
        return TrainResult(self.parallel.whole(self.model), found, self.curve)

    def _progress(self, start: int) -> Progress:
        stream = None if self.runtime.rank == 0 else io.StringIO()  # one rank speaks
        return Progress(
            self.job.label, self.order.total, "step", per_unit=self.tokens, rate_unit="tok", start=start, stream=stream
        )

    def _say(self, message: str) -> None:
        self.progress.say(message)


def count_params(model: torch.nn.Module) -> int:
    """Parameters of the whole model; tied ones once."""
    return sum(param.numel() for param in model.parameters())
