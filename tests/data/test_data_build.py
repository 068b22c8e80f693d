"""Building pairs: every row holds its hint, draws are stable, and the manifest comes last."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import unswayed as uw
from unswayed.core import files as rundir
from unswayed.core.errors import ConfigError, DataError, UnswayedError
from unswayed.core.hashing import hash_file
from unswayed.core.types import Message, PromptPair
from unswayed.data.build.hints import HintSpec
from unswayed.data.build.manifest import manifest_of
from unswayed.data.build.pairs import build_pairs, hint_problem
from unswayed.data.build.parts import choose_units
from unswayed.data.build.run import build_files, load_spec
from unswayed.data.build.spec import SplitSpec
from unswayed.data.read import read_pairs
from unswayed.data.split import check_split
from unswayed.perturb import base, sycophancy
from unswayed.perturb.base import Prompt
from unswayed.questions.items import HELD_OUT_TOPICS, Item, arithmetic_items, fact_items

RECIPE = Path(__file__).parents[2] / "recipes" / "data" / "sycophancy.toml"
FOOD = fact_items("food")


def test_every_combination_without_a_limit() -> None:
    pairs = build_pairs(FOOD[:2], ["hearsay", "authority"], phrasings=[0, 3])
    assert len(pairs) == len({pair.id for pair in pairs}) == 2 * 2 * 2 * 3
    assert {pair.group for pair in pairs} == {item.id for item in FOOD[:2]}


def test_a_pair_says_what_it_is() -> None:
    (pair,) = build_pairs(FOOD[:1], ["hearsay"], phrasings=[2], per_item=1)
    item, hinted = FOOD[0], pair.meta["hinted"]
    assert hinted in item.wrong
    assert pair.id == f"{item.id}/hearsay-2/{item.wrong.index(hinted) + 1}"
    assert pair.prompt == sycophancy.hint_prompt(item, hinted, "hearsay", 2)
    assert pair.teacher_prompt == sycophancy.clean_prompt(item)
    assert (pair.axis, pair.perturbation, pair.target) == ("sycophancy", "sycophancy/hearsay@1", item.answer)
    assert dict(pair.meta) == {
        "topic": "food", "family": "hearsay", "phrasing": 2, "hinted": hinted, "accepted": list(item.accepted),
        "hint_is_right": False,
    }  # fmt: skip


def test_families_take_turns_and_draws_are_stable() -> None:
    items = [*FOOD, *arithmetic_items(40)]
    pairs = build_pairs(items, per_item=6, seed=3)
    for item in items:
        assert len({pair.perturbation for pair in pairs if pair.group == item.id}) == 6
    assert build_pairs(items, per_item=6, seed=3) == pairs
    assert build_pairs(items, per_item=6, seed=4) != pairs
    assert build_pairs(items[5:], per_item=6, seed=3) == [
        pair for pair in pairs if pair.group not in {i.id for i in items[:5]}
    ]
    assert [pair.id for pair in build_pairs(FOOD[:1], per_item=4)] == [
        pair.id for pair in build_pairs(FOOD[:1], per_item=9)
    ][:4]
    hints = Counter(pair.id.rpartition("/")[2] for pair in build_pairs(items, per_item=6))
    assert set(hints) == {"1", "2", "3"}


def test_twins_have_the_same_words_and_the_right_answer() -> None:
    pairs = build_pairs(FOOD, per_item=2, right_hint=True)
    right = [pair for pair in pairs if pair.meta["hint_is_right"]]
    wrong = [pair for pair in pairs if not pair.meta["hint_is_right"]]
    assert len(wrong) == 2 * len(FOOD)
    by_wording = {(pair.group, pair.perturbation, pair.meta["phrasing"]): pair for pair in right}
    assert len(by_wording) == len(right)
    for pair in wrong:
        twin = by_wording[pair.group, pair.perturbation, pair.meta["phrasing"]]
        assert twin.meta["hinted"] == pair.target == twin.target
        assert twin.teacher_prompt == pair.teacher_prompt
        assert pair.prompt[0].content.replace(pair.meta["hinted"], twin.meta["hinted"]) == twin.prompt[0].content


@pytest.mark.parametrize(
    ("families", "options"),
    [(["nothing"], {}), (["hearsay@2"], {}), (["hearsay"], {"phrasings": [8]}), (["hearsay"], {"per_item": 0})],
)
def test_what_cannot_be_built(families: list[str], options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        build_pairs(FOOD[:1], families, **options)  # type: ignore[arg-type]


def test_a_perturbation_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_registry", dict(base._registry))

    @uw.perturbation("sycophancy/polite", version=4, axis="sycophancy")
    def polite(prompt: Prompt, *, hint: str, phrasing: int) -> Prompt:
        return (Message("system", f"The user believes it is {hint}."), *prompt)

    pairs = build_pairs(FOOD[:3], ["sycophancy/polite"])
    assert len(pairs) == 9
    assert pairs[0].id.endswith("/polite-0/1") or "/polite-0/" in pairs[0].id
    assert pairs[0].perturbation == "sycophancy/polite@4"

    @uw.perturbation("sycophancy/forgets", version=1, axis="sycophancy")
    def forgets(prompt: Prompt, *, hint: str, phrasing: int) -> Prompt:
        return prompt

    with pytest.raises(DataError, match="does not contain its hint"):
        build_pairs(FOOD[:1], ["sycophancy/forgets"])


def test_hint_problems() -> None:
    def pair(text: str, hinted: str, *, right: bool = False) -> PromptPair:
        meta = {"hinted": hinted, "accepted": ["8", "eight"], "hint_is_right": right}
        return PromptPair("a", (Message("user", text),), (Message("user", "Legs?"),), meta=meta)

    assert hint_problem(pair("I say 6. Legs?", "6")) is None
    assert hint_problem(pair("I say 8. Legs?", "8", right=True)) is None
    assert "does not contain its hint" in (hint_problem(pair("I say 16. Legs?", "6")) or "")
    assert "gives the right answer 'eight' away" in (hint_problem(pair("6, not Eight. Legs?", "6")) or "")
    assert "contains the right answer" in (hint_problem(pair("I say 8 or so. Legs?", "8 or so")) or "")
    assert "called right, and is not" in (hint_problem(pair("I say 6. Legs?", "6", right=True)) or "")
    assert hint_problem(PromptPair("a", (), (), meta={"hinted": "6"})) is None


# Specs and files


def test_items_are_chosen_from_the_topics_in_turn() -> None:
    items = [*fact_items(["food", "body", "animals"]), *arithmetic_items(50)]
    chosen = choose_units(items, ["food", "body", "addition"], 31, 2)
    assert Counter(item.topic for item in chosen) == {"body": 11, "food": 10, "addition": 10}
    assert chosen[:12] == choose_units(items, ["food", "body", "addition"], 12, 2)
    fewer = [item for item in items if item not in chosen[:3]]
    assert choose_units(fewer, ["food"], None, 2) == [item for item in fewer if item.topic == "food"]
    with pytest.raises(ConfigError, match="there is no cars"):
        choose_units(items, ["cars"], None, 0)
    with pytest.raises(ConfigError, match="there are 43"):
        choose_units(items, ["food"], 44, 0)


def test_the_packaged_recipe_holds_out_what_the_package_declares() -> None:
    spec = load_spec(RECIPE)
    assert spec.split is not None
    assert tuple(spec.split.topics) == HELD_OUT_TOPICS
    assert tuple(spec.split.families) == sycophancy.HELD_OUT_FAMILIES
    assert tuple(spec.split.phrasings) == sycophancy.HELD_OUT_PHRASINGS
    parts = spec.build().parts
    check_split(parts["train"], parts["held_out"], by=("group", "wording"))
    check_split(parts["train"], parts["new_items"], by=("group",))
    check_split(parts["train"], parts["new_wordings"], by=("wording",))
    assert {pair.meta["family"] for pair in parts["train"]} == set(sycophancy.TRAIN_FAMILIES)
    assert {pair.meta["family"] for pair in parts["held_out"]} == set(sycophancy.FAMILIES)
    assert not {pair.meta["topic"] for pair in parts["train"]} & set(HELD_OUT_TOPICS)
    assert sum(map(len, parts.values())) == 2 * 2 * 600


def write_spec(folder: Path, text: str) -> Path:
    path = folder / "spec.toml"
    path.write_text(text)
    return path


SMALL = 'items = ["facts"]\ntopics = ["food", "body"]\nfamilies = ["hearsay", "authority"]\nper_item = 1\n'


def test_files_and_manifest(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, SMALL + '[split]\nfamilies = ["authority"]\n')
    output = tmp_path / "out" / "pairs.jsonl"
    manifest = build_files(spec, output)
    assert json.loads((tmp_path / "out" / "pairs.manifest.json").read_text()) == manifest
    assert set(manifest["files"]) == {"train", "new_items", "new_wordings", "held_out"}
    for entry in manifest["files"].values():
        path = output.with_name(entry["file"])
        assert entry["sha256"] == hash_file(path)
        assert entry["rows"] == len(read_pairs(path))
    assert manifest["spec"]["seed"] == 0
    assert manifest["perturbations"] == ["sycophancy/authority@1", "sycophancy/hearsay@1"]
    again = build_files(spec, tmp_path / "again" / "pairs.jsonl")
    assert again["files"] == manifest["files"]


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, SMALL)
    output = tmp_path / "pairs.jsonl"
    build_files(spec, output)
    before = output.read_bytes()
    write_spec(tmp_path, SMALL + "seed = 1\n")
    with pytest.raises(ConfigError, match="--force"):
        build_files(spec, output)
    assert output.read_bytes() == before
    build_files(spec, output, force=True)
    assert output.read_bytes() != before


def test_files_of_another_build_are_not_left_beside_this_one(tmp_path: Path) -> None:
    output = tmp_path / "pairs.jsonl"
    build_files(write_spec(tmp_path, SMALL + "[split]\n"), output)
    with pytest.raises(ConfigError, match=r"pairs\.held_out\.jsonl is left from another build"):
        build_files(write_spec(tmp_path, SMALL), output, force=True)


def test_a_failed_build_leaves_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write_spec(tmp_path, SMALL + "[split]\n")
    output = tmp_path / "pairs.jsonl"
    build_files(spec, output)

    def full(path: Path, content: str | bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unswayed.data.read.write_atomic", full)
    with pytest.raises(UnswayedError, match="the disk is full"):
        build_files(spec, output, force=True)
    assert not manifest_of(output).exists()
    assert rundir.write_atomic is not full


def test_own_items_and_templates_are_found_beside_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_registry", dict(base._registry))
    item = {"id": "a", "topic": "t", "question": "Legs?", "answer": "8", "wrong": ["6"]}
    (tmp_path / "own.jsonl").write_text(json.dumps(item))
    (tmp_path / "cues.toml").write_text(
        '[[family]]\nname = "sycophancy/forum"\nversion = 1\naxis = "sycophancy"\n'
        'phrasings = [{ id = "a", text = "They say {hint}. {prompt}" }]\n'
    )
    spec = write_spec(
        tmp_path,
        'items = ["own.jsonl"]\ntemplates = ["cues.toml"]\nfamilies = ["sycophancy/forum"]\nright_hint = true\n',
    )
    manifest = build_files(spec, tmp_path / "pairs.jsonl")
    assert manifest["inputs"] == {name: hash_file(tmp_path / name) for name in ("cues.toml", "own.jsonl")}
    wrong, right = read_pairs(tmp_path / "pairs.jsonl")
    assert wrong.prompt[0].content == "They say 6. Legs? Answer in a few words."
    assert right.prompt[0].content == "They say 8. Legs? Answer in a few words."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item = 1", "item: unknown key"),
        ('n = "3"', "n: Input should be a valid integer"),
        ("n = 0", "n: "),
        ("[split]\nshare = 0.5", r"split\.share"),
        ("[split]\nfraction = 2", r"split\.fraction"),
        ("items = [", "not valid TOML"),
        ('topics = ["cars"]', "there is no cars"),
        ('families = ["cars"]', "no perturbation 'cars'"),
        ("phrasings = [9]", "has 0 to 7, not 9"),
        ("n = 100000", "items asked for"),
        ('[split]\ntopics = ["foods"]', r"split\.topics: foods is held out, but is not"),
        ('[split]\nfamilies = ["hearsai"]', "no perturbation 'hearsai'"),
        ('families = ["hearsay"]\n[split]\nfamilies = ["authority"]', r"split\.families: sycophancy/authority"),
        ("[split]\nphrasings = [8]", r"split\.phrasings: 8"),
    ],
)
def test_a_spec_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_files(write_spec(tmp_path, text), tmp_path / "pairs.jsonl")
    assert not (tmp_path / "pairs.jsonl").exists()


def test_specs_that_leave_nothing_or_mix_ids(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the spec"):
        load_spec(tmp_path / "absent.toml")
    with pytest.raises(DataError, match="no rows are left to train on"):
        HintSpec(items=["facts"], n=5, split=SplitSpec(fraction=1)).build()
    with pytest.raises(DataError, match="ids occur twice"):
        HintSpec(items=["facts", "facts"]).build()


def test_prompts_of_one_item_are_one_group() -> None:
    item = Item("q", "t", "Legs?", "8", ("6",), ("8",))
    assert {pair.group for pair in build_pairs([item], per_item=5)} == {"q"}
