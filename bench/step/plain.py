"""The arm of a plain loop as one writes it in a notebook: `generate`, two dense forward passes, KL, AdamW."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.child import Completions, Control, add_adapter, gradient, model_facts, set_adapter
from bench.step.work import Work
from unswayed.models import load_model
from unswayed.training.prepare import prepare


def run(work: Work, control: Control) -> None:
    """Take a step at each order."""
    prepared = prepare(work.recipe)
    optim, chat = work.recipe.optim, prepared.chat
    base = load_model(prepared.source, dtype=work.dtype)
    torch.manual_seed(work.seed)
    model: Any = add_adapter(base, work.rank)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=work.lr, betas=optim.betas, eps=optim.eps, weight_decay=optim.weight_decay,
    )  # fmt: skip
    students = [pair.prompt_ids for pair in prepared.pairs]
    teachers = [pair.teacher_prompt_ids for pair in prepared.pairs]

    @torch.no_grad()
    def generate(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        ids, mask = pad_left(prompts, chat.pad_id)
        out = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            max_new_tokens=work.new_tokens, eos_token_id=sorted(chat.stop_ids), pad_token_id=chat.pad_id,
        )  # fmt: skip
        return [cut(row, chat.stop_ids) for row in out[:, ids.shape[1] :].tolist()]

    def logits(prompts: Sequence[Sequence[int]], completions: Completions) -> tuple[Tensor, Tensor]:
        """Logits that predict each completion token, [B, T, V], and which of them are real, [B, T]."""
        ids, mask = pad_left(prompts, chat.pad_id)
        width = max(map(len, completions))
        lengths = torch.tensor([len(row) for row in completions])
        real = torch.arange(width) < lengths[:, None]
        rest = torch.tensor([[*row, *[chat.pad_id] * (width - len(row))] for row in completions])
        out = model(
            input_ids=torch.cat([ids, rest], 1),
            attention_mask=torch.cat([mask, real.long()], 1),
            logits_to_keep=width + 1,
            use_cache=False,
        )
        return out.logits[:, :-1], real

    def losses(first: int, completions: Completions) -> tuple[Tensor, Tensor]:
        """Reverse KL of each completion token, [B, T], and which are real."""
        part = slice(first, first + work.pairs)
        with control.phase("teacher"), torch.no_grad(), model.disable_adapter():
            teacher = F.log_softmax(logits(teachers[part], completions)[0].float(), dim=-1)
        with control.phase("learn"):
            student, real = logits(students[part], completions)
            student = F.log_softmax(student.float(), dim=-1)
            return F.kl_div(teacher, student, reduction="none", log_target=True).sum(-1), real

    control.ready(**model_facts(model))
    for number in range(work.steps):
        control.begin()
        first = number * work.pairs
        model.eval()
        with control.phase("sample"):
            completions = generate(students[first : first + work.pairs])
        model.train()
        kl, real = losses(first, completions)
        with control.phase("learn"):
            torch.autograd.backward(kl[real].sum() / real.sum())
        with control.phase("optim"):
            torch.nn.utils.clip_grad_norm_(model.parameters(), optim.max_grad_norm or float("inf"))
            optimizer.step()
            optimizer.zero_grad()
        control.end(completions)

    def check(completions: Completions) -> dict[str, Any]:
        weights = set_adapter(model.named_parameters())
        kl, real = losses(len(students) - work.pairs, completions)
        by_row = ((kl * real).sum(1) / real.sum(1)).mean()
        torch.autograd.backward(by_row)
        return {
            "ids": [list(map(list, two)) for two in zip(students[-work.pairs :], teachers[-work.pairs :], strict=True)],
            "token_mean": float(kl.detach()[real].mean()),
            "row_mean": float(by_row.detach()),
            "gradient": gradient(weights),
        }

    control.finish(check)


def pad_left(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Return ids and mask, [B, T]."""
    width = max(map(len, rows))
    ids = torch.tensor([[*[pad_id] * (width - len(row)), *row] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(width) >= width - lengths[:, None]).long()


def cut(ids: Sequence[int], stop_ids: frozenset[int]) -> list[int]:
    """Return the ids up to and with the first stop token."""
    end = next((place + 1 for place, token in enumerate(ids) if token in stop_ids), len(ids))
    return list(ids[:end])
