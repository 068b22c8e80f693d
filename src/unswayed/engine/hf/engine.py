"""The default engine: one Transformers model in this process, LoRA through PEFT, on CPU or GPU.

Student and teacher share the frozen base weights and differ in which adapter is active.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from unswayed.core.errors import CheckpointError, ConfigError, NotFiniteError, OutOfMemoryError
from unswayed.core.seeding import seed_at
from unswayed.core.signals import stop_signals
from unswayed.core.types import PairedBatch, PolicyRef, Rollout, SamplingParams
from unswayed.engine.base import Loss, Role, Scored, Sums, View
from unswayed.engine.batching import micro_batches
from unswayed.engine.decode.loglikelihood import continuation_logprobs
from unswayed.engine.decode.sampler import sample as sample_ids
from unswayed.engine.forward import backbone, completion_hidden, completion_layers, packable
from unswayed.engine.hf.adapters import STUDENT, active_adapter, adapter_layers, check_separable, write_adapter_config
from unswayed.engine.hf.fingerprint import fingerprint
from unswayed.engine.logits import logit_rule
from unswayed.engine.proof import check_head, prove
from unswayed.engine.recompute import recomputed
from unswayed.engine.ways import Ways

OPTIMIZER_FILE = "optimizer.safetensors"
ADAPTER_FILE = "adapter_model.safetensors"


@contextmanager
def memory_guard() -> Iterator[None]:
    """Raise `OutOfMemoryError` for every exception with which torch reports that memory ran out."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(str(error)) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            raise OutOfMemoryError(str(error)) from error
        raise


class HFEngine:
    """Student and teacher over one set of frozen base weights.

    Args:
        model: a PEFT model whose adapter `default` is the student.
        teacher: what the teacher is: an adapter name, None for the bare base model, or a second model.
        stop_ids: token ids that end a completion.
        vocab_size: ids from here on are padding of the embedding.
        seed: the run's seed; addresses dropout.
        share_prefix: compute what rows begin with once, and pad nothing, where the model allows it (exact; see
            `engine.packing`).
    """

    def __init__(
        self,
        model: Any,
        *,
        teacher: str | PreTrainedModel | None,
        stop_ids: frozenset[int],
        vocab_size: int,
        seed: int = 0,
        micro_batch: int = 8,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        share_prefix: bool = True,
    ) -> None:
        check_separable(model)
        self.model = model
        self.body: PreTrainedModel = model.get_base_model()
        self.teacher = teacher
        self.stop_ids = stop_ids
        self.vocab_size = vocab_size
        self.seed = seed
        self.micro_batch = micro_batch
        self.layers = adapter_layers(model)
        self.trainable: dict[str, torch.nn.Parameter] = {
            name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
        }
        if not self.trainable or not all(STUDENT in name.split(".") for name in self.trainable):
            raise ConfigError(
                "only the student's adapter may be trainable; trainable weights are: "
                + (", ".join(sorted(self.trainable)[:5]) or "none")
            )
        self.optimizer = torch.optim.AdamW(
            list(self.trainable.values()), lr=0.0, betas=betas, eps=eps, weight_decay=weight_decay
        )
        self.version = 0
        self.share_prefix = share_prefix
        self.recomputed = recomputed(self.body)
        self.dropout = any(module.p > 0 for module in model.modules() if isinstance(module, torch.nn.Dropout))
        self.ways = self._proven()
        for module in (self.body, teacher) if isinstance(teacher, PreTrainedModel) else (self.body,):
            check_head(module)
        if isinstance(teacher, PreTrainedModel):
            _check_same_softcap(self.body, teacher)
        self.policy = self.publish()
        adapters = (teacher,) if isinstance(teacher, str) else ()
        self.teacher_policy = PolicyRef("teacher", 0, adapters, self.teacher_fingerprint())

    @contextmanager
    def _model_of(self, role: Role) -> Iterator[PreTrainedModel]:
        """Yield the student's or the teacher's model, with its adapter active."""
        if role == "teacher" and isinstance(self.teacher, PreTrainedModel):
            yield self.teacher
            return
        with active_adapter(self.layers, STUDENT if role == "student" else self.teacher):
            yield self.body

    def _proven(self) -> dict[Role, Ways]:
        """Return the shortcuts that each role's model may take; the bare base takes the student's."""
        found: dict[Role, Ways] = {}
        roles: list[Role] = ["student"] if self.teacher is None else ["student", "teacher"]
        for role in roles:
            with memory_guard(), self._model_of(role) as model:
                tuned = self.layers if model is self.body else []
                head = model.get_output_embeddings()
                found[role] = prove(model, head, tuned=tuned, vocab_size=self.vocab_size, trained=True)
        return {"student": found["student"], "teacher": found.get("teacher", found["student"])}

    # ---- sampling and scoring, without gradient

    def sample(
        self,
        pair_ids: Sequence[str],
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]],
        role: Role = "student",
    ) -> list[list[Rollout]]:
        """Draw `params.n` completions for each prompt. Generation batches are independent of `micro_batch`."""
        policy = self.policy if role == "student" else self.teacher_policy
        self.ways[role].check_decodable(role)
        with memory_guard(), self._model_of(role) as model:
            drawn = sample_ids(
                backbone(model),
                model.get_output_embeddings(),
                prompts,
                params,
                seeds=seeds,
                stop_ids=self.stop_ids,
                vocab_size=self.vocab_size,
                lean=self.ways[role].lean,
            )
        return [
            [
                Rollout(
                    pair_id,
                    tuple(prompt),
                    draw.completion_ids,
                    draw.logprobs,
                    draw.finish,
                    policy,
                    seed,
                    draw.tempered_logprobs,
                )
                for draw, seed in zip(draws, row_seeds, strict=True)
            ]
            for pair_id, prompt, draws, row_seeds in zip(pair_ids, prompts, drawn, seeds, strict=True)
        ]

    def loglikelihood(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]], role: Role = "student"
    ) -> list[list[float]]:
        """Return the log-probability in nats of each continuation of each prompt; see `continuation_logprobs`."""
        with memory_guard(), self._model_of(role) as model:
            return continuation_logprobs(
                backbone(model),
                model.get_output_embeddings(),
                prompts,
                continuations,
                vocab_size=self.vocab_size,
                **self.ways[role].likelihood,
            )

    @torch.no_grad()
    def score(self, batch: PairedBatch, role: Role = "teacher", view: View = "final") -> list[Scored]:
        """Return the hidden states at each row's completion; one result per row, in the batch's order."""
        results: dict[int, Scored] = {}
        with memory_guard(), self._model_of(role) as model:
            for index in self._micro_batches(batch, role):
                scored = self._forward(model, batch.take(index), role, view)
                start = 0
                for i, length in zip(index, scored.lengths, strict=True):
                    part = slice(start, start + length)
                    # A view would keep the whole micro-batch alive.
                    results[i] = replace(
                        scored,
                        hidden_ND=scored.hidden_ND[part].clone(),
                        ids_N=scored.ids_N[part],
                        weight_N=scored.weight_N[part],
                        lengths=(length,),
                        layers_LND=None if scored.layers_LND is None else scored.layers_LND[:, part].clone(),
                    )
                    start += length
        return [results[i] for i in range(len(batch))]

    # ---- learning

    def forward_backward(self, batch: PairedBatch, loss: Loss, view: View = "final") -> Sums:
        """Add the gradient of the summed loss of all rows; micro-batches change it by rounding only."""
        sums = Sums(0.0, 0.0, {})
        self.model.train(self.dropout)
        for layer in self.recomputed:
            layer.training = True  # of the layer alone: nothing in it drops states out
        try:
            with memory_guard(), self._model_of("student") as model:
                for number, index in enumerate(self._micro_batches(batch, "student")):
                    part = batch.take(index)
                    with self._dropout_seed(number):
                        scored = self._forward(model, part, "student", view)
                    output = loss(scored, part)
                    if not output.total.requires_grad:
                        raise ConfigError("the loss does not depend on the student; nothing would be trained")
                    output.total.backward()  # type: ignore[no-untyped-call]
                    sums += Sums(float(output.total.detach()), output.count, output.metrics)
        finally:
            self.model.eval()
        return sums

    def optim_step(self, lr: float, count: float, max_grad_norm: float | None) -> float:
        """Divide by `count` once, clip, update; return the norm before clipping."""
        grads = [parameter.grad for parameter in self.trainable.values() if parameter.grad is not None]
        torch._foreach_div_(grads, count)
        norm = torch.nn.utils.get_total_norm(grads)
        if not bool(torch.isfinite(norm)):
            self.zero_grad()
            raise NotFiniteError(f"the gradient's norm is {float(norm)}")
        if max_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.trainable.values(), max_grad_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.zero_grad()
        self.version += 1
        return float(norm)

    def zero_grad(self) -> None:
        """Drop all gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def halve_micro_batch(self) -> bool:
        """Drop all gradients and halve `micro_batch`; return False where it is 1 already."""
        self.zero_grad()
        smaller = self.micro_batch // 2
        self.micro_batch = smaller or 1
        return bool(smaller)

    def publish(self) -> PolicyRef:
        """Name the current weights. Sampling reads the live weights, so there is nothing to copy."""
        self.policy = PolicyRef("student", self.version, (STUDENT,), fingerprint(self.trainable.items()))
        return self.policy

    # ---- identity and storage

    def teacher_fingerprint(self) -> str:
        """Return a checksum over every weight the teacher uses (all weights but the student's)."""
        model = self.teacher if isinstance(self.teacher, PreTrainedModel) else self.model
        return fingerprint((name, tensor) for name, tensor in model.named_parameters() if name not in self.trainable)

    def save(self, folder: Path) -> None:
        """Write the adapter as a PEFT folder, and `optimizer.safetensors`, into `folder`."""
        save_file(_on_cpu(self.adapter_state()), folder / ADAPTER_FILE, metadata={"format": "pt"})
        names = {id(parameter): name for name, parameter in self.trainable.items()}
        state = {
            f"{key}:{names[id(parameter)]}": value.contiguous()
            for parameter, values in self.optimizer.state.items()
            for key, value in values.items()
        }
        save_file(_on_cpu(state), folder / OPTIMIZER_FILE, metadata={"version": str(self.version)})
        write_adapter_config(folder, self.model.peft_config[STUDENT])

    def load(self, folder: Path) -> None:
        """Restore adapter and optimizer.

        Raises:
            CheckpointError: the saved tensors are not this adapter's.
        """
        adapter = load_file(folder / ADAPTER_FILE)
        mine = self.adapter_state()
        if {k: v.shape for k, v in adapter.items()} != {k: v.shape for k, v in mine.items()}:
            raise CheckpointError(f"{folder}: the saved adapter has other layers or another rank than this run's")
        with torch.no_grad():
            for name, tensor in mine.items():
                tensor.copy_(adapter[name])
        stored = load_file(folder / OPTIMIZER_FILE)
        self.optimizer.state.clear()
        for key, value in stored.items():
            kind, _, name = key.partition(":")
            parameter = self.trainable[name]
            self.optimizer.state[parameter][kind] = value if kind == "step" else value.to(parameter.device)
        steps = [int(value) for key, value in stored.items() if key.startswith("step:")]
        self.version = max(steps, default=0)
        self.publish()

    def adapter_state(self) -> dict[str, torch.Tensor]:
        """Return the student's tensors under PEFT's own file names; they share memory with the live weights."""
        return {name.replace(f".{STUDENT}", ""): value.data for name, value in self.trainable.items()}

    # ---- inner parts

    def _micro_batches(self, batch: PairedBatch, role: Role) -> Iterator[list[int]]:
        """Yield rows in groups. Equal prompts on both sides give equal groups, and so equal rounding.

        Raises:
            Interrupted: a signal came, in work that can be thrown away.
        """
        prompts = _prompts(batch, role)
        lengths = [len(prompt) + len(row.completion_ids) for prompt, row in zip(prompts, batch.rows, strict=True)]
        ways = self.ways[role]
        alone = not (ways.padded or (ways.packed and self.share_prefix))
        for index in micro_batches(lengths, 1 if alone else self.micro_batch, prompts):
            stop_signals.look()
            yield index

    def _forward(self, model: PreTrainedModel, batch: PairedBatch, role: Role, view: View) -> Scored:
        prompts = _prompts(batch, role)
        completions = [row.completion_ids for row in batch.rows]
        layers_LND = None
        body = backbone(model)
        packed = self.share_prefix and self.ways[role].packed and packable(body)
        if view == "layers":
            hidden_ND, layers_LND = completion_layers(body, prompts, completions, share_prefix=packed)
        else:
            hidden_ND = completion_hidden(body, prompts, completions, share_prefix=packed)
        head: Any = model.get_output_embeddings()
        rule = logit_rule(body.config)
        device = hidden_ND.device
        return Scored(
            rule.scaled(hidden_ND),
            head.weight,
            rule.scaled(head.bias),
            torch.tensor([i for row in batch.rows for i in row.completion_ids], device=device),
            torch.tensor([w for row in batch.rows for w in row.loss_mask], dtype=torch.float32, device=device),
            tuple(len(row.completion_ids) for row in batch.rows),
            self.vocab_size,
            layers_LND,
            rule.softcap,
        )

    @contextmanager
    def _dropout_seed(self, number: int) -> Iterator[None]:
        """Address dropout's randomness by (seed, step, micro-batch), leaving the global generator as it was."""
        if not self.dropout:
            yield
            return
        with torch.random.fork_rng(devices=[self.body.device] if self.body.device.type == "cuda" else []):
            torch.manual_seed(seed_at(self.seed, "dropout", self.version, number))
            yield


def _on_cpu(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors that can be written: safetensors reads their memory, which is the host's on no other device."""
    return {name: tensor.cpu() for name, tensor in tensors.items()}


def _prompts(batch: PairedBatch, role: Role) -> list[tuple[int, ...]]:
    return [tuple(row.prompt_ids if role == "student" else row.teacher_prompt_ids) for row in batch.rows]


def _check_same_softcap(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    ours, theirs = (logit_rule(backbone(model).config).softcap for model in (student, teacher))
    if ours != theirs:
        raise ConfigError(
            f"the student's logits are capped at {ours} and the teacher's at {theirs}; the losses have one soft cap "
            "for both. Use a teacher of the same family, or method.teacher = 'start'"
        )
