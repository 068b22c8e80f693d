"""`unswayed show`: what it prints is what training would see."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import zoo
from rich.console import Console
from typer.testing import CliRunner, Result

from unswayed.chat.render import Chat
from unswayed.cli.show import _table, show, view
from unswayed.config.methods import OPCTConfig
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message, PromptPair

ROWS: list[dict[str, Any]] = [
    {
        "id": "q1",
        "prompt": "the user is [red]on[/red] it. is the sky up?",
        "teacher_prompt": "is the sky up?",
        "target": "yes, é",
        "perturbation": "sycophancy/made_up@1",
    },
    {"id": "q2", "prompt": "a b", "teacher_prompt": "a", "response": "no"},
    {"id": "q3", "prompt": "x", "teacher_prompt": "a"},
]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def recipe(tmp_path: Path, pairs: Path, tiny_model_dir: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'name = "r"\n[model]\nid = "{tiny_model_dir}"\n[data]\ntrain = "{pairs}"\n[method]\nname = "opct"\n'
        "[train]\nsteps = 1\n[sampling]\nmax_new_tokens = 7\n"
    )
    return path


def run(*words: object, catch: bool = False) -> Result:
    app = typer.Typer()
    app.command()(show)
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=catch, env={"COLUMNS": "120"})


def shown(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0
    return result.stdout


def rows_of(text: str) -> list[list[str]]:
    """Return the table's rows: those that begin with a place and an id."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if re.match(r"\s*\d+\s{2,}\d+\s", line)]


def test_both_prompts_are_printed_as_the_template_writes_them(recipe: Path, tiny_model_dir: Path) -> None:
    text = shown(recipe)
    chat = Chat.load(tiny_model_dir)
    for side in ("prompt", "teacher_prompt"):
        assert chat.render_text((Message("user", ROWS[0][side]),)) in text
    assert "[red]on[/red]" in text  # brackets in data are no colours
    assert "sycophancy/made_up@1" in text
    assert "ends a turn: <|im_end|> (2)" in text
    assert "context 2048 tokens" in text
    assert "at most 7" in text


def test_the_table_holds_every_token_of_both_sequences(recipe: Path, tiny_model_dir: Path) -> None:
    chat = Chat.load(tiny_model_dir)
    rows = rows_of(shown(recipe, "--all"))
    student = chat.render((Message("user", ROWS[0]["prompt"]),))
    teacher = chat.render((Message("user", ROWS[0]["teacher_prompt"]),))
    completion = chat.encode_completion((Message("user", ROWS[0]["prompt"]),), "yes, é")
    assert [int(row[1]) for row in rows] == [*student, *completion]
    assert [int(row[0]) for row in rows] == list(range(len(student) + len(completion)))
    assert [row[-1] for row in rows] == ["0"] * len(student) + ["1"] * len(completion)
    both = [row for row in rows if len(row) == 7]
    assert [int(row[4]) for row in both] == [*teacher, *completion]
    assert [row[2] for row in rows[-len(completion) :]] == ["yes", ",", "·", "<0xC3>", "<0xA9>", "<|im_end|>"]


def test_only_the_end_of_long_prompts_is_listed_and_the_rest_counted(recipe: Path, tiny_model_dir: Path) -> None:
    text = shown(recipe)
    lengths = [
        len(Chat.load(tiny_model_dir).render((Message("user", ROWS[0][side]),)))
        for side in ("prompt", "teacher_prompt")
    ]
    assert [row[-1] for row in rows_of(text)].count("0") == 12
    assert all(f"… {length - 12} before" in text for length in lengths)


def test_what_both_prompts_share_is_counted_in_tokens(tiny_model_dir: Path) -> None:
    chat = Chat.load(tiny_model_dir)
    sides = [(Message("user", ROWS[0][side]),) for side in ("prompt", "teacher_prompt")]
    seen = view(chat, PromptPair("q", *sides))
    a, b = (chat.render(side) for side in sides)
    assert a[: seen.shared_start] == b[: seen.shared_start]
    assert a[seen.shared_start] != b[seen.shared_start]
    assert a[len(a) - seen.shared_end :] == b[len(b) - seen.shared_end :]
    assert a[-1 - seen.shared_end] != b[-1 - seen.shared_end]
    assert seen.completion is None


def test_the_completion_comes_from_the_option_the_target_or_a_column(recipe: Path) -> None:
    assert "completion from the pair's target: 6 tokens, 6 trained; in training the student writes its own" in shown(
        recipe
    )
    assert "completion from the pair's response: 2 tokens" in shown(recipe, "--pair", "q2")
    assert "no completion to show; in training the student writes its own" in shown(recipe, "--pair", "q3")
    assert "completion from --completion: 2 tokens" in shown(recipe, "--pair", "q3", "--completion", "yes")
    assert "cut off after 7 tokens" in shown(recipe, "--completion", "abcdefghij")
    given = shown(recipe, "--set", 'method={name="sft", source="target"}')
    assert "6 trained\n" in given
    drawn = shown(recipe, "--set", 'method={name="sft"}')
    assert "in training the teacher writes its own" in drawn


def test_pairs_are_chosen_by_id_or_number(recipe: Path) -> None:
    assert re.findall(r"pair (q\d)", shown(recipe)) == ["q1"]
    assert re.findall(r"pair (q\d)", shown(recipe, "-n", 3)) == ["q1", "q2", "q3"]
    assert re.findall(r"pair (q\d)", shown(recipe, "--pair", "q3", "--pair", "q1")) == ["q3", "q1"]
    with pytest.raises(ConfigError, match=r"--pair q9: no such id among the 3 pairs of .*, e\.g\. q1, q2, q3"):
        run(recipe, "--pair", "q9")


def test_a_pairs_file_and_a_model_are_enough(
    pairs: Path, tiny_model_dir: Path, recipe: Path, folder_of: Callable[[str], Path]
) -> None:
    assert rows_of(shown("--pairs", pairs, "--model", tiny_model_dir)) == rows_of(shown(recipe))
    with pytest.raises(ConfigError, match="nothing to show"):
        run("--pairs", pairs)
    with pytest.raises(ConfigError, match="nothing to show"):
        run()


def make_loadable(folder: Path, tiny_model_dir: Path, target: Path) -> Path:
    """Give a folder of the zoo weights, so that it passes as a model."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    (target / "model.safetensors").write_bytes((tiny_model_dir / "model.safetensors").read_bytes())
    return target


def test_settings_reach_the_template(
    pairs: Path, tmp_path: Path, tiny_model_dir: Path, folder_of: Callable[[str], Path]
) -> None:
    model = make_loadable(folder_of("clock"), tiny_model_dir, tmp_path / "clock")
    with pytest.raises(ConfigError, match="date_string"):
        run("--pairs", pairs, "--model", model)
    text = shown("--pairs", pairs, "--model", model, "--set", "chat.template_kwargs.date_string=2024-07-26")
    assert "Today is 2024-07-26, a Friday" in text


def test_json_is_the_same_in_full(recipe: Path, tiny_model_dir: Path) -> None:
    chat = Chat.load(tiny_model_dir)
    facts = json.loads(shown(recipe, "--json"))
    assert (facts["context_length"], facts["stop_ids"], facts["chat"]) == (2048, {"2": "<|im_end|>"}, chat.identity)
    (pair,) = facts["pairs"]
    assert tuple(pair["prompt"]["ids"]) == chat.render((Message("user", ROWS[0]["prompt"]),))
    assert "".join(pair["teacher_prompt"]["tokens"]) == pair["teacher_prompt"]["text"]
    assert pair["completion"]["loss_mask"] == [1.0] * len(pair["completion"]["ids"])


def test_pairs_that_training_would_refuse_are_shown_then_refused(pairs: Path, recipe: Path) -> None:
    pairs.write_text(json.dumps({"id": "bad", "prompt": "a<|im_end|>b", "teacher_prompt": "b"}) + "\n")
    result = run(recipe, catch=True)
    assert "<|im_start|>user\na<|im_end|>b<|im_end|>" in result.stdout
    assert isinstance(result.exception, DataError)
    assert "pair bad, student prompt" in str(result.exception)
    pairs.write_text(json.dumps({"id": "bad", "prompt": "a", "teacher_prompt": "b", "target": "<|pad|>"}) + "\n")
    result = run(recipe, catch=True)
    assert "<|im_start|>user\nb<|im_end|>" in result.stdout
    assert isinstance(result.exception, DataError)
    assert "<|pad|>" in str(result.exception)


def test_roles_that_the_template_refuses_end_in_an_error(
    pairs: Path, tmp_path: Path, tiny_model_dir: Path, folder_of: Callable[[str], Path]
) -> None:
    model = make_loadable(folder_of("mistral"), tiny_model_dir, tmp_path / "mistral")
    system = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "b"}]
    pairs.write_text(json.dumps({"id": "bad", "prompt": "a", "teacher_prompt": system}) + "\n")
    result = run("--pairs", pairs, "--model", model, catch=True)
    assert isinstance(result.exception, DataError)
    assert "refuses the roles system, user" in str(result.exception)


def test_hostile_text_does_not_reach_the_terminal(pairs: Path, recipe: Path) -> None:
    evil = "a\x1b[2J\x1b]0;owned\x07\u202eb\r"
    pairs.write_text(json.dumps({"id": evil, "prompt": evil, "teacher_prompt": "b", "target": evil}) + "\n")
    text = shown(recipe, "--all")
    assert not {"\x1b", "\x07", "\u202e", "\r"} & {*text}
    assert r"\x1b[2J" in text
    assert "\x1b" not in shown(recipe, "--json")


def test_the_boundary_and_the_mask_are_coloured(chat_of: Callable[..., Chat]) -> None:
    chat = chat_of("thinking")
    sides = [(Message("user", text),) for text in ("a the b", "the b")]
    seen = view(chat, PromptPair("q", *sides), "<think>no</think>yes", "a test")
    console = Console(force_terminal=True, color_system="standard", width=120, record=True, file=io.StringIO())
    console.print(_table(chat, seen, every=True))
    lines = console.export_text(styles=True).splitlines()
    bold_green, bold_magenta, yellow = "\x1b[1;32m", "\x1b[1;35m", "\x1b[33m"
    completion = [line for line in lines if bold_green in line]
    assert len(completion) == len(seen.completion.ids if seen.completion else ())
    assert all(line.rstrip().endswith("1\x1b[0m") for line in completion)
    assert not any(bold_magenta in line for line in completion)
    assert f"{bold_magenta}<|im_start|>\x1b[0m" in "".join(lines)
    different = [line for line in lines if yellow in line]
    assert len(different) == len(seen.prompt.ids) - seen.shared_end
    assert zoo.KINDS["thinking"].added == ("<think>", "</think>")


def test_thinking_carries_the_weight_that_the_recipe_gives_it(chat_of: Callable[..., Chat]) -> None:
    chat = chat_of("thinking")
    ids = {token: id_ for id_, token in chat.added_tokens.items()}
    assert chat.thinking == ((ids["<think>"],), (ids["</think>"],))
    assert chat_of("chatml").thinking is None
    pair = PromptPair("q", (Message("user", "a b?"),), (Message("user", "a?"),))
    method = OPCTConfig(name="opct", thinking_weight=0.25)
    seen = view(chat, pair, "<think>\n\nwhy\n</think>\n\nyes", "--completion", method).completion
    assert seen is not None
    close = seen.tokens.index("</think>")
    assert seen.tokens[0] == "<think>"
    assert set(seen.loss_mask[: close + 1]) == {0.25}
    assert set(seen.loss_mask[close + 1 :]) == {1.0}


def test_act_says_that_there_is_no_completion(recipe: Path) -> None:
    text = shown(recipe, "--set", "method.name=act")
    assert "no completion: the activations at the tokens that both prompts end with are compared" in text
