"""ACT: which positions are aligned, what is compared there, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import battery
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

import runs
import tiny
import unswayed.training.loop
from unswayed.config.methods import ACTConfig
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message, PairedRow, PromptPair, TokenizedPair
from unswayed.engine.forward import decoder_layers
from unswayed.methods import Tokens
from unswayed.methods.act import ACT
from unswayed.training.loop import train
from unswayed.training.prepare import prepare

IDS = st.lists(st.integers(0, 3), max_size=8).map(tuple)


def _row(prompt: tuple[int, ...], teacher: tuple[int, ...], sink_tokens: int = 1) -> PairedRow:
    said = (Message("user", "x"),)
    pair = TokenizedPair(PromptPair("a", said, said), prompt, teacher)
    return ACT(ACTConfig(name="act", sink_tokens=sink_tokens))._row(pair)


@given(before=IDS, wrapped=IDS, shared=IDS)
@settings(deadline=None)
def test_the_common_ending_is_found_for_every_wrapper(
    before: tuple[int, ...], wrapped: tuple[int, ...], shared: tuple[int, ...]
) -> None:
    prompt, teacher = (*wrapped, *shared), (*before, *shared)
    row = _row(prompt, teacher)
    assert (*row.prompt_ids, *row.completion_ids) == prompt
    assert (*row.teacher_prompt_ids, *row.completion_ids) == teacher
    assert len(row.completion_ids) >= len(shared)
    # It is the longest: what stands before it differs, or one side is used up.
    assert not row.prompt_ids or not row.teacher_prompt_ids or row.prompt_ids[-1] != row.teacher_prompt_ids[-1]
    reaches = not row.prompt_ids or not row.teacher_prompt_ids
    assert row.loss_mask == tuple(0.0 if reaches and place == 0 else 1.0 for place in range(len(row.completion_ids)))


def test_sinks_of_either_side_are_left_out() -> None:
    assert _row((1, 2, 3), (1, 2, 3)).loss_mask == (0.0, 1.0, 1.0)
    assert _row((9, 9, 1, 2, 3), (1, 2, 3)).loss_mask == (0.0, 1.0, 1.0)
    assert _row((1, 2, 3), (9, 1, 2, 3), sink_tokens=2).loss_mask == (0.0, 0.0, 1.0)
    assert _row((8, 1, 2, 3), (9, 9, 1, 2, 3), sink_tokens=0).loss_mask == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("model", ["llama", "qwen"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_equals_the_definition_on_the_plain_model(
    tmp_path: Path, tiny_model_dir: Path, tiny_qwen_dir: Path, model: str, checkpointing: bool
) -> None:
    """Every layer's output by hooks of our own, row by row, without padding, prefixes or batches."""
    folder = tiny_model_dir if model == "llama" else tiny_qwen_dir
    scale = 0.3
    with tiny.norms_in_float64():
        prepared, engine = battery.load(
            tmp_path,
            folder,
            {"name": "act", "scale": scale},
            train={"steps": 3, "micro_batch": 2, "activation_checkpointing": checkpointing},
        )
        battery.shake(engine)
        batch = battery.collect(prepared, engine)
        total, count, grads = battery.gradients(engine, batch, prepared)
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        expected, positions = torch.zeros((), dtype=torch.float64), 0
        engine.zero_grad()
        for pair in prepared.pairs[:5]:
            student = _residuals(engine.body, pair.prompt_ids)
            with torch.no_grad():
                teacher = _residuals(base, pair.teacher_prompt_ids)
            shared = 0
            while shared < 500 and pair.prompt_ids[-1 - shared :][:1] == pair.teacher_prompt_ids[-1 - shared :][:1]:
                shared += 1
            assert 5 <= shared < len(pair.teacher_prompt_ids)
            squares = [(s[-shared:] - t[-shared:]).square().sum() for s, t in zip(student, teacher, strict=True)]
            expected = expected + scale**2 * torch.stack(squares).mean()
            positions += shared
        expected.backward()  # type: ignore[no-untyped-call]
    assert count == positions
    assert total == pytest.approx(expected.item(), rel=1e-12 if model == "llama" else 1e-7)
    for name, parameter in engine.trainable.items():
        if parameter.grad is not None and name in grads:
            # Qwen's norm rounds to float32 inside.
            rounding = 1e-11 if model == "llama" else 1e-8
            torch.testing.assert_close(grads[name], parameter.grad, rtol=0, atol=rounding * total)


def _residuals(model: Any, ids: tuple[int, ...]) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _module, _args, output: found.append(output[0]))
        for layer in model.model.layers
    ]
    model.model(input_ids=torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    assert len(found) == 2
    return found


def test_the_last_layer_is_taken_before_the_norm(tmp_path: Path, tiny_model_dir: Path) -> None:
    prepared, engine = battery.load(tmp_path, tiny_model_dir, {"name": "act"}, "float32")
    batch = battery.collect(prepared, engine)
    for scored in engine.score(batch, "teacher", "layers"):
        assert scored.layers_LND is not None
        torch.testing.assert_close(engine.body.model.norm(scored.layers_LND[-1]), scored.hidden_ND)
        assert not torch.equal(scored.layers_LND[-1], scored.hidden_ND)
        assert scored.layers_LND.shape == (2, *scored.hidden_ND.shape)


def test_training_brings_the_activations_together(tmp_path: Path, tiny_model_dir: Path) -> None:
    recipe = runs.recipe(
        tmp_path, tiny_model_dir, method={"name": "act", "scale": 0.1}, optim={"lr": 3e-3}, train={"steps": 12}
    )
    rows = train(recipe).metrics()
    assert rows[-1]["activation/relative"] < 0.9 * rows[0]["activation/relative"]
    assert all(row["truncated"] == 0 and row["written_by"] == {} and row["rows"] == 4 for row in rows)


def test_pairs_that_end_differently_are_refused_before_weights_load(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unswayed.training.loop, "load_engine", lambda *_: pytest.fail("weights were loaded"))
    # A template that writes nothing after the last message, and prompts that end in other words.
    folder = tmp_path / "bare"
    shutil.copytree(tiny_model_dir, folder)
    (folder / "chat_template.jinja").write_text(
        "{% for message in messages %}{{ message['content'] }}{% endfor %}", encoding="utf-8"
    )
    apart = {"id": "apart", "prompt": "what is 3? it is 4", "teacher_prompt": "what is 3?"}
    rows = [{**row, "prompt": f"yes. {row['teacher_prompt']}"} for row in runs.ROWS]
    runs.write_pairs(tmp_path / "pairs.jsonl", [*rows, apart])
    with pytest.raises(DataError, match=r"apart: nothing to align") as caught:
        train(runs.recipe(tmp_path, folder, method={"name": "act"}))
    assert "method.name = 'bct_soft'" in str(caught.value)
    assert len(caught.value.problems) == 1
    prepare(runs.recipe(tmp_path, folder, method={"name": "bct_soft"}))


def test_sinks_may_not_cover_everything(tmp_path: Path, tiny_model_dir: Path) -> None:
    with pytest.raises(DataError, match="nothing to align"):
        prepare(runs.recipe(tmp_path, tiny_model_dir, method={"name": "act", "sink_tokens": 10_000}))


def test_a_body_without_a_list_of_layers_is_an_error(tiny_model_dir: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir).model
    assert [type(layer).__name__ for layer in decoder_layers(model)] == ["LlamaDecoderLayer"] * 2
    model.config.num_hidden_layers = 7
    with pytest.raises(ConfigError, match=r"no list of 7 layers found.*bct_soft"):
        decoder_layers(model)


def test_a_teacher_of_another_shape_is_refused_before_weights_load(tmp_path: Path, tiny_model_dir: Path) -> None:
    deeper = tiny.save(tiny.llama(num_hidden_layers=3), tmp_path / "deeper")
    recipe = runs.recipe(tmp_path, tiny_model_dir, method={"name": "act", "teacher": f"model:{deeper}"})
    with pytest.raises(ConfigError, match=r"3 layers of width 32, the student 2 of 32.*teacher = 'start'"):
        prepare(recipe)
    prepare(runs.recipe(tmp_path, tiny_model_dir, method={"name": "bct_soft", "teacher": f"model:{deeper}"}))


def test_check_names_every_pair() -> None:
    said = (Message("user", "x"),)
    pairs = [TokenizedPair(PromptPair(f"p{i}", said, said), (1, i + 10), (2, i + 20)) for i in range(3)]
    with pytest.raises(DataError) as caught:
        ACT(ACTConfig(name="act")).check(pairs, Tokens(300, None))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["p0", "p1", "p2"]
