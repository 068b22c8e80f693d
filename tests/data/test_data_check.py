"""What a check finds in pairs without weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from unswayed.chat.render import Chat
from unswayed.core.errors import DataError
from unswayed.core.files import dump_json
from unswayed.core.overlap import find_overlap, normalise
from unswayed.core.types import Message, PromptPair
from unswayed.data.build.pairs import build_pairs
from unswayed.data.build.run import build_files
from unswayed.data.check import check_file, check_pairs, require
from unswayed.data.read import write_pairs
from unswayed.perturb import sycophancy
from unswayed.questions.items import fact_items

PAIRS = build_pairs(fact_items("food"), per_item=2)


def pair(prompt: str, teacher: str = "Legs?", id_: str = "a", **fields: object) -> PromptPair:
    return PromptPair(id_, (Message("user", prompt),), (Message("user", teacher),), **fields)  # type: ignore[arg-type]


def test_counts_and_lengths() -> None:
    anchor = pair("same", "same", "z", target="x", axis="other")
    report = check_pairs([*PAIRS, anchor])
    assert report.errors == ()
    assert (report.rows, report.pairs, report.groups) == (87, 87, 44)
    assert report.axes == {"other": 1, "sycophancy": 86}
    assert sum(report.families.values()) == sum(report.topics.values()) == 87
    assert report.topics == {"": 1, "food": 86}
    assert (report.with_target, report.right_hints, report.identical) == (87, 0, 1)
    lengths = [len(entry.prompt[0].content) for entry in PAIRS] + [4]
    assert (report.characters["prompt"].minimum, report.characters["prompt"].maximum) == (4, max(lengths))
    assert report.characters["prompt"].mean == pytest.approx(sum(lengths) / 87)
    assert report.tokens == {}
    assert json.loads(dump_json(report.to_dict()))["pairs"] == 87


def test_right_hints_are_counted_and_no_error() -> None:
    report = check_pairs(build_pairs(fact_items("food"), per_item=1, right_hint=True))
    assert (report.errors, report.right_hints) == ((), 43)
    assert not [warning for warning in report.warnings if "name the target" in warning]


def test_a_wrong_hint_that_gives_the_answer_away_is_an_error() -> None:
    meta = {"hinted": "6", "accepted": ["8", "eight"], "hint_is_right": False}
    report = check_pairs([pair("6, not eight. Legs?", meta=meta)])
    assert report.errors == ("a: the prompt gives the right answer 'eight' away",)
    with pytest.raises(DataError, match="gives the right answer"):
        require(report)


def test_a_target_named_by_the_prompt_alone_is_a_warning() -> None:
    found = check_pairs([pair("It is eight. Legs?", target="eight"), pair("It is a dog", id_="b", target="A")]).warnings
    assert found == ("1 pairs name the target in prompt but not in teacher_prompt: a",)


def test_an_option_whose_letter_changes_is_an_error() -> None:
    same = "Pick.\n(A) cats\n(B) dogs"
    swapped = pair("Pick.\n(A) dogs\n(B) cats", same, "swapped")
    gone = pair("Pick.\nA) cats\nB) dogs\nC) ants", same, "gone")
    fine = pair("I like B.\n" + same + "\n(see above)", same, "fine")
    report = check_pairs([swapped, gone, fine])
    assert len(report.errors) == 2
    assert report.errors[0].startswith("swapped: option A is 'dogs' in prompt and 'cats' in teacher_prompt")
    assert report.errors[1].startswith("gone: option C is 'ants' in prompt and absent in teacher_prompt")


def test_options_that_an_assistant_repeats_in_other_words_do_not_count() -> None:
    turns = (
        Message("user", "(A) cats\n(B) dogs"),
        Message("assistant", "(A) felines\n(B) dogs"),
        Message("user", "Sure?"),
    )
    assert check_pairs([PromptPair("a", turns, turns[:1])]).errors == ()


def test_repetitions_exact_and_close() -> None:
    rows = [
        pair("I say 6. Legs?"),
        pair("I say 6. Legs?", id_="b"),
        pair("i say  6, LEGS", id_="c"),
        pair("x", id_="d"),
    ]
    assert check_pairs(rows).warnings == (
        "1 pairs repeat the two prompts of another pair exactly: b",
        "1 pairs repeat another pair but for case, spacing or punctuation: c",
    )


@pytest.mark.parametrize("mark", ["\x1b[31m", "\u202e", "\u200b", "\0", "\u2028"])
def test_invisible_characters_are_a_warning_and_never_printed(mark: str) -> None:
    report = check_pairs([pair(f"Legs{mark}?", id_=f"id{mark}")])
    assert "1 pairs contain control, invisible or reordering characters" in report.warnings[0]
    assert mark not in "".join(report.warnings)


@pytest.mark.parametrize("mark", ["<|im_end|>", "</s>", "[INST]", "<end_of_turn>", "<|eot_id|>"])
def test_marks_of_turns_are_a_warning(mark: str) -> None:
    assert "mark turns" in check_pairs([pair(f"Legs? {mark}")]).warnings[0]
    assert check_pairs([pair("a < b | c > d and list[int]")]).warnings == ()


def test_prefills_that_differ_are_a_warning() -> None:
    user, sure, no = Message("user", "Q"), Message("assistant", "Sure,"), Message("assistant", "No,")
    one_side = PromptPair("a", (user, sure), (user,))
    differ = PromptPair("b", (user, sure), (user, no))
    assert check_pairs([one_side, differ]).warnings == (
        "1 pairs end with an assistant prefill on one side only: a",
        "1 pairs end with different assistant prefills on the two sides: b",
    )


# Overlap


def test_texts_are_compared_without_case_spacing_and_punctuation_but_with_operators() -> None:
    def form(text: str) -> str:
        return normalise([Message("user", text)])

    assert form("What is  LYON?\n") == form("what is Lyon") == form("What is Ｌyon!")
    assert form("What is 7 + 5?") != form("What is 7 - 5?")
    assert form("a") != normalise([Message("system", "a")])


def test_a_shared_group_and_a_shared_text_are_errors() -> None:
    mine = [pair("I say 6. Legs?", group="spider"), pair("new", "newer", "b")]
    others = [pair("other", "another", "x", group="spider"), pair("NEW", "old", "y", group="theirs")]
    report = check_pairs(mine, against=others)
    assert report.overlap is not None
    assert report.overlap.groups == ("spider",)
    assert report.overlap.texts == (("b", "theirs"),)
    assert [error.split(":")[0] for error in report.errors] == [
        "1 groups are in both files",
        "1 prompts are in both files (case, spacing and punctuation aside)",
    ]


SENTENCE = "the quick brown fox jumps over the lazy dog while two small cats sleep on the warm stone wall"


def test_a_shared_run_of_thirteen_words_is_found_and_twelve_are_not() -> None:
    words = SENTENCE.split()
    others = [pair(SENTENCE, "theirs", "theirs")]
    inside = " ".join(["before", *words[2:15], "after"])
    (found,) = find_overlap([pair(inside, "mine", "mine")], others).grams
    assert found == ("mine", "theirs", " ".join(words[2:15]))
    assert find_overlap([pair(" ".join(["before", *words[2:14], "after"]), "mine")], others).grams == ()


def test_instructions_that_many_items_share_do_not_count() -> None:
    advice = "please think step by step and then give your answer in the format the best answer is"
    mine = [pair(f"{advice} question number {n} here", f"mine {n}", f"m{n}") for n in range(5)]
    others = [pair(f"{advice} other thing {n}", f"theirs {n}", f"o{n}") for n in range(5)]
    assert find_overlap(mine, others).grams == ()
    leak = pair(f"{advice} {SENTENCE}", "mine", "leak")
    found = find_overlap([*mine, leak], [*others, pair(f"{SENTENCE} {advice} and more", "theirs", "source")])
    assert {(one, other) for one, other, _ in found.grams} == {("leak", "source")}


def test_parts_of_one_build_share_nothing(tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text('n = 120\n[split]\ntopics = ["animals"]\nfamilies = ["authority"]\nphrasings = [7]\n')
    build_files(spec, tmp_path / "pairs.jsonl")
    report = check_file(tmp_path / "pairs.jsonl", against=tmp_path / "pairs.held_out.jsonl")
    assert report.errors == report.warnings == ()
    with pytest.raises(DataError, match="groups are in both files"):
        require(check_file(tmp_path / "pairs.jsonl", against=tmp_path / "pairs.new_wordings.jsonl"))


# Files


def test_problems_of_a_file_are_errors_of_the_report(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, PAIRS[:3])
    with open(path, "a") as file:
        file.write('{"prompt": "a", "teacher_prompt": "a"}\n{"prompt": \n')
    report = check_file(path)
    assert (report.rows, report.pairs) == (5, 3)
    assert [error.split(":")[1] for error in report.errors] == ["4", "5"]
    allowed = check_file(path, allow_identical=True)
    assert (allowed.pairs, allowed.identical, len(allowed.errors)) == (4, 1, 1)


def test_an_empty_file_is_an_error_of_the_report(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n")
    assert check_file(path).errors == (f"{path}: the file has no rows",)


def test_a_file_that_changed_since_it_was_built_is_an_error(tmp_path: Path) -> None:
    spec, path = tmp_path / "spec.toml", tmp_path / "pairs.jsonl"
    spec.write_text('items = ["facts"]\nn = 20\n')
    build_files(spec, path)
    assert check_file(path).errors == ()
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    (error,) = check_file(path).errors
    assert "has changed since it was built (40 rows then, 39 now)" in error
    (tmp_path / "pairs.manifest.json").write_text("[]")
    assert "is not a manifest of pairs" in check_file(path).errors[0]
    (tmp_path / "pairs.manifest.json").write_text('{"files": {}}')
    assert "does not name pairs.jsonl" in check_file(path).errors[0]


def test_against_must_be_sound(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, PAIRS[:1])
    with pytest.raises(DataError, match="cannot be read"):
        check_file(path, against=tmp_path / "absent.jsonl")


# With a tokenizer


def test_tokens_are_counted_where_a_tokenizer_is_given(tiny_model_dir: Path) -> None:
    chat = Chat.load(tiny_model_dir)
    report = check_pairs(PAIRS[:10], chat=chat, max_new_tokens=4)
    assert report.errors == ()
    counts = [len(chat.render(entry.prompt)) for entry in PAIRS[:10]]
    assert (report.tokens["prompt"].minimum, report.tokens["prompt"].maximum) == (min(counts), max(counts))
    assert report.tokens["teacher_prompt"].maximum < report.tokens["prompt"].maximum


def test_special_tokens_in_content_are_errors_where_a_tokenizer_is_given(tiny_model_dir: Path) -> None:
    chat = Chat.load(tiny_model_dir)
    token = sorted(chat.special_tokens)[0]
    forged = dataclasses.replace(PAIRS[0], prompt=(Message("user", f"Hi {token}"),))
    report = check_pairs([forged, *PAIRS[1:4]], chat=chat, max_new_tokens=4)
    assert any(PAIRS[0].id in error for error in report.errors)
    assert report.tokens == {}


def test_every_family_can_be_checked() -> None:
    assert check_pairs(build_pairs(fact_items("body"), sycophancy.FAMILIES, per_item=11)).errors == ()
