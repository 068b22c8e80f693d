"""The arm of TRL's experimental SDFT trainer, its context builder replaced: the teacher reads the teacher prompt.

Everything else is its own: tokenisation, `generate`, dense logits, `Trainer`'s loop. Its settings are those that make
the step the same one: full-vocabulary reverse KL, the base model as the teacher, one completion a prompt.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import asdict
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging
from trl.experimental.sdft import SDFTConfig, SDFTTrainer
from trl.experimental.sdft.sdft_trainer import DemonstrationTeacherContextBuilder

from bench.child import Completions, Control, gradient, model_facts, set_adapter
from bench.step.work import Work
from unswayed.engine.hf.attach import quiet_peft
from unswayed.models import load_model
from unswayed.training.prepare import prepare


class TeacherPrompt(DemonstrationTeacherContextBuilder):  # type: ignore[misc]
    """The teacher's prompt is the one in the data, instead of the student's with something added."""

    def _compose_teacher_prompt(self, prompt: Any, privileged_context: Any) -> Any:
        return privileged_context


class Clocks(TrainerCallback):  # type: ignore[misc]
    """Waits for orders between the steps."""

    def __init__(self, work: Work, control: Control) -> None:
        self.work, self.control = work, control
        self.completions: list[list[int]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.control.begin()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.control.switch("optim")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.control.end(self.completions)
        if state.global_step < self.work.steps:
            self.control.begin()


def run(work: Work, control: Control, *, checkpointing: bool, parts: bool) -> None:
    """Take the steps, each at an order."""
    warnings.simplefilter("ignore", FutureWarning)  # TRL's own use of names that transformers will drop
    with tempfile.TemporaryDirectory() as folder, quiet_peft():
        _run(work, control, folder, checkpointing, parts)


def _run(work: Work, control: Control, folder: str, checkpointing: bool, parts: bool) -> None:
    logging.set_verbosity_error()
    recipe = work.recipe
    prepared = prepare(recipe)
    optim, chat = recipe.optim, prepared.chat
    base: Any = load_model(prepared.source, dtype=work.dtype)
    base.generation_config.eos_token_id = sorted(chat.stop_ids)
    pieces = work.pairs // recipe.train.micro_batch if parts else 1
    args = SDFTConfig(
        output_dir=folder, use_cpu=True, bf16=False, seed=work.seed, disable_tqdm=True,
        report_to="none", logging_strategy="no", save_strategy="no", eval_strategy="no",
        max_steps=work.steps, per_device_train_batch_size=work.pairs // pieces, gradient_accumulation_steps=pieces,
        num_generations=1, shuffle_dataset=False, gradient_checkpointing=checkpointing,
        learning_rate=work.lr, lr_scheduler_type="constant", adam_beta1=optim.betas[0], adam_beta2=optim.betas[1],
        adam_epsilon=optim.eps, weight_decay=optim.weight_decay, max_grad_norm=optim.max_grad_norm or 0.0,
        max_prompt_length=None, max_completion_length=work.new_tokens, temperature=1.0, top_p=1.0, top_k=0,
        teacher_model_kind="base", distillation_mode="full_logits", distillation_alpha=1.0,
        chat_template_kwargs={**recipe.chat.template_kwargs},
    )  # fmt: skip
    rows = [
        {
            "prompt": [asdict(message) for message in pair.pair.prompt],
            "privileged_context": [asdict(message) for message in pair.pair.teacher_prompt],
        }
        for pair in prepared.pairs
    ]
    clocks = Clocks(work, control)
    trainer: Any = SDFTTrainer(
        model=base,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=chat.tokenizer,
        peft_config=LoraConfig(
            r=work.rank, lora_alpha=2 * work.rank, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
        callbacks=[clocks],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.teacher_context_builder = TeacherPrompt(trainer)
    _put_clocks(trainer, clocks, control)
    control.ready(**model_facts(trainer.model))
    trainer.train()
    control.finish(lambda completions: _check(trainer, rows[-work.pairs :], completions))


def _put_clocks(trainer: Any, clocks: Clocks, control: Control) -> None:
    """Time the trainer's own parts from outside. Learning is what its training step does besides the others."""
    generate, forward = trainer._generate, trainer._forward_logits

    def timed_generate(prompt_ids: Any) -> Any:
        with control.phase("sample"):
            prompts, clocks.completions = generate(prompt_ids)
        return prompts, clocks.completions

    def timed_forward(**inputs: Any) -> Any:
        with control.phase("learn" if torch.is_grad_enabled() else "teacher"):
            return forward(**inputs)

    trainer._generate, trainer._forward_logits = timed_generate, timed_forward
    trainer.training_step = control.timed("learn", trainer.training_step)


def _check(trainer: Any, rows: list[dict[str, Any]], completions: Completions) -> dict[str, Any]:
    """Losses of given completions after the last step's prompts, through the trainer's own batch and loss."""
    trainer.model.train()
    weights = set_adapter(trainer.model.named_parameters())
    trainer.model.zero_grad()
    trainer._generate = lambda prompt_ids: (prompt_ids, [list(ids) for ids in completions])
    trainer.current_gradient_accumulation_steps = 1
    batch = trainer._prepare_training_batch(rows)
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    width = batch["completion_ids"].shape[1]
    teacher = [side[:, :-width] for side in (batch["teacher_input_ids"], batch["teacher_attention_mask"])]
    return {
        "ids": [
            [ids[mask.bool()].tolist(), other[seen.bool()].tolist()]
            for ids, mask, other, seen in zip(batch["prompt_ids"], batch["prompt_mask"], *teacher, strict=True)
        ],
        "token_mean": trainer._metrics["train"]["self_distillation/distillation_loss"][-1],
        "row_mean": float(loss.detach()),
        "gradient": gradient(weights),
    }
