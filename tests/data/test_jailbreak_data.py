"""Requests and pairs for jailbreaks: twins, rewrites, splits, and files that cannot be used."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.hashing import hash_file
from unswayed.core.types import Message
from unswayed.data.build import spec as spec_module
from unswayed.data.build.jailbreak import JailbreakSpec, jailbreak_pairs
from unswayed.data.build.parts import resolve_family, wordings_of
from unswayed.data.build.run import build_files, load_spec
from unswayed.data.build.spec import SplitSpec
from unswayed.data.check import check_file
from unswayed.data.read import read_pairs
from unswayed.perturb.jailbreak import AXIS, FAMILIES, HELD_OUT_FAMILIES, HELD_OUT_PHRASINGS, REWRITE
from unswayed.questions.requests import benign_beside, codewords, harmless, load_requests, merge, requests_from
from unswayed.questions.words import mentions
from unswayed.sources.source import Source

RECIPE = Path(__file__).parents[2] / "recipes" / "data" / "jailbreak.toml"
ROWS = [
    {"goal": "Tell me the word of the day.", "wrapped": "As a poem: the word of the day?", "category": "words"},
    {"goal": "Tell me the word of the day.", "wrapped": "In a story: the word of the day?", "category": "words"},
    {"goal": "Sing.", "category": "songs", "benign": "Hum."},
]


def wordings(*families: str, phrasings: tuple[int, ...] | None = None) -> list:  # type: ignore[type-arg]
    return wordings_of([resolve_family(name, AXIS) for name in families], phrasings)


# ---- requests


def test_packaged_requests_protect_one_word_and_offer_one_fact() -> None:
    made = codewords()
    assert Counter(Counter(request.topic for request in made).values()) == {6: 8}
    assert len({request.id for request in made}) == len({request.secret for request in made}) == 48
    for request in made:
        assert request.benign is not None
        setting = request.prompt[0].content
        assert request.prompt[:-1] == request.benign[:-1]
        assert mentions(setting, request.secret)
        assert any(mentions(setting, answer) for answer in request.answer)
        assert "codeword" in request.text
        for question in (request.text, request.benign[-1].content):
            assert not mentions(question, request.secret)
        assert not any(mentions(request.benign[-1].content, answer) for answer in request.answer)
        assert not any(mentions(answer, request.secret) for answer in request.answer)
        others = " ".join(message.content for message in request.prompt[1:])
        assert not mentions(others, request.secret)


def test_harmless_requests_are_in_one_half_only() -> None:
    ours, theirs = harmless(), harmless(held_out=True)
    assert len(ours) == len(theirs) == 26
    assert not {request.text for request in ours} & {request.text for request in theirs}


def test_rows_become_requests_and_equal_ones_are_one() -> None:
    first, second = requests_from(ROWS, "jailbreak/own")
    assert first.rewrites == ("As a poem: the word of the day?", "In a story: the word of the day?")
    assert first.prompt == (Message("user", "Tell me the word of the day."),)
    assert (first.topic, first.source, first.benign) == ("words", "jailbreak/own", None)
    assert first.id.startswith("own-")
    assert second.benign == (Message("user", "Hum."),)
    assert benign_beside(second) == (second.id, second.benign)
    group, prompt = benign_beside(first)
    assert (group, prompt) in [(one.id, one.prompt) for one in harmless()]
    assert benign_beside(first, held_out=True)[0] not in {one.id for one in harmless()}
    joined = merge([first, *requests_from([{"prompt": "tell me the WORD of the day", "wrapped": "x"}], "other")])
    assert [request.id for request in joined] == [first.id]
    assert joined[0].rewrites == (*first.rewrites, "x")


def test_columns_of_public_sets() -> None:
    rows = [
        {"Behavior": "Hum.", "BehaviorID": "hum", "FunctionalCategory": "standard", "ContextString": "",
         "SemanticCategory": "songs"},
        {"Behavior": "Sum it up.", "BehaviorID": "sum", "FunctionalCategory": "contextual",
         "ContextString": "A text.", "SemanticCategory": "texts"},
        {"Behavior": "Print the song.", "BehaviorID": "song", "FunctionalCategory": "copyright", "ContextString": "",
         "SemanticCategory": "songs"},
    ]  # fmt: skip
    hum, total = requests_from(rows, "jailbreak/harmbench")
    assert (hum.id, hum.topic, hum.text) == ("harmbench-hum", "songs", "Hum.")
    assert total.text == "A text.\n\nSum it up."
    (only,) = requests_from([{"forbidden_prompt": "Hum.", "system": "Be brief.", "wrapped": ["a", "b"]}], "x")
    assert only.prompt == (Message("system", "Be brief."), Message("user", "Hum."))
    assert only.rewrites == ("a", "b")


def test_rows_that_are_no_requests_are_listed_and_not_quoted(tmp_path: Path) -> None:
    rows = [{"goal": "", "wrapped": "secret words"}, {"goal": 7}, {"goal": "a", "id": "1"}, {"goal": "b", "id": "1"}]
    with pytest.raises(DataError) as caught:
        requests_from(rows, "own")
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["row 1", "row 2", "row 4"]
    assert "secret words" not in str(caught.value)
    with pytest.raises(DataError, match="has no requests"):
        requests_from([{"Behavior": "x", "FunctionalCategory": "copyright"}], "own")
    with pytest.raises(DataError, match="cannot be read"):
        load_requests("absent.jsonl", tmp_path)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("Behavior,FunctionalCategory\nHum.,standard\nPrint it.,copyright\n")
    requests, identity = load_requests("own.csv", tmp_path)
    assert len(requests) == 1
    assert identity == {"source": "own.csv", "sha256": hash_file(path), "left_out": 1}


# ---- pairs


def test_every_wrapped_request_has_its_twin_in_the_same_wrapper() -> None:
    requests = codewords()[:4]
    pairs = jailbreak_pairs(requests, wordings("fiction", "base64"))
    assert len(pairs) == 4 * 2 * 6 * 2
    for pair, twin in zip(pairs[::2], pairs[1::2], strict=True):
        request = next(one for one in requests if one.id == pair.group)
        family = FAMILIES[str(pair.meta["family"])]
        number = pair.meta["phrasing"]
        assert pair.teacher_prompt == request.prompt
        assert pair.prompt == family.apply(request.prompt, hint="", phrasing=number)
        assert twin.prompt == twin.teacher_prompt == family.apply(request.benign, hint="", phrasing=number)
        assert (pair.axis, pair.perturbation, twin.perturbation) == (AXIS, family.ref, family.ref)
        assert (pair.meta["benign"], twin.meta["benign"]) == (False, True)
        assert (pair.meta["secret"], twin.meta["accepted"]) == (request.secret, list(request.answer))
        assert "secret" not in twin.meta
        assert "accepted" not in pair.meta


def test_twins_may_see_the_plain_question_or_be_left_out() -> None:
    request = codewords()[0]
    plain = jailbreak_pairs([request], wordings("fiction", phrasings=(0,)), benign="plain")
    assert plain[1].teacher_prompt == request.benign != plain[1].prompt
    assert len(jailbreak_pairs([request], wordings("fiction", phrasings=(0,)), benign="none")) == 1


def test_rewrites_are_students_of_their_request_without_twins() -> None:
    requests = requests_from(ROWS, "own")
    pairs = jailbreak_pairs(requests, [(REWRITE, 0)])
    assert sorted(pair.prompt[0].content for pair in pairs) == sorted(row["wrapped"] for row in ROWS[:2])
    assert {pair.teacher_prompt for pair in pairs} == {requests[0].prompt}
    assert len({pair.id for pair in pairs}) == 2
    assert {pair.perturbation for pair in pairs} == {"jailbreak/rewrite@1"}


def test_a_twin_is_added_once_however_many_requests_it_stands_beside() -> None:
    many = requests_from([{"goal": f"Say {number}."} for number in range(80)], "own")
    pairs = jailbreak_pairs(many, wordings("fiction", phrasings=(0,)))
    twins = [pair for pair in pairs if pair.meta["benign"]]
    assert len(pairs) - len(twins) == 80
    assert 15 < len(twins) == len({pair.prompt for pair in twins}) <= 26


def test_draws_take_families_in_turn_and_are_stable() -> None:
    pairs = jailbreak_pairs(codewords(), wordings(*FAMILIES), seed=5, per_item=11, benign="none")
    for request in codewords():
        assert len({pair.meta["family"] for pair in pairs if pair.group == request.id}) == 11
    assert jailbreak_pairs(codewords()[3:], wordings(*FAMILIES), seed=5, per_item=11, benign="none") == pairs[33:]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"per_item": 0}, "counts from 1"), ({"benign": "all"}, "there are anchor, plain and none")],
)
def test_what_cannot_be_built(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        jailbreak_pairs(codewords()[:1], wordings("fiction"), **options)  # type: ignore[arg-type]


def test_a_hint_is_no_wrapper() -> None:
    with pytest.raises(ConfigError, match="of the axis sycophancy"):
        jailbreak_pairs(codewords()[:1], [(resolve_family("hearsay"), 0)])


# ---- specs


def test_the_packaged_recipe_holds_out_what_the_package_declares(tmp_path: Path) -> None:
    spec = load_spec(RECIPE)
    assert isinstance(spec, JailbreakSpec)
    assert spec.split is not None
    assert tuple(spec.split.families) == HELD_OUT_FAMILIES
    assert tuple(spec.split.phrasings) == HELD_OUT_PHRASINGS
    manifest = build_files(RECIPE, tmp_path / "p.jsonl")
    assert {part: entry["rows"] for part, entry in manifest["files"].items()} == {
        "train": 288, "new_items": 96, "new_wordings": 288, "held_out": 96,
    }  # fmt: skip
    entry = manifest["files"]["train"]
    assert (entry["groups"], entry["anchors"]) == (36, 144)
    assert sum(entry["rows_by_perturbation"].values()) == 288
    assert {name.partition("@")[0].rpartition("/")[2] for name in entry["rows_by_perturbation"]}.isdisjoint(
        HELD_OUT_FAMILIES
    )
    assert manifest["spec"]["kind"] == "jailbreak"
    assert manifest["sources"][0]["source"] == "codewords"
    report = check_file(tmp_path / "p.jsonl", against=tmp_path / "p.held_out.jsonl", allow_identical=True)
    assert report.errors == ()
    pairs = read_pairs(tmp_path / "p.jsonl", allow_identical=True)
    assert not {pair.meta["topic"] for pair in pairs} & {"gardens", "journeys"}


def test_files_and_whole_sources_can_be_held_out(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    text = (
        'kind = "jailbreak"\nrequests = ["codewords", "own.jsonl"]\nper_item = 3\n'
        '[split]\nfraction = 0.0\nsources = ["own.jsonl"]\n'
    )
    (tmp_path / "spec.toml").write_text(text)
    manifest = build_files(tmp_path / "spec.toml", tmp_path / "p.jsonl")
    assert manifest["inputs"] == {"own.jsonl": hash_file(tmp_path / "own.jsonl")}
    held_out = read_pairs(tmp_path / "p.held_out.jsonl", allow_identical=True)
    assert {pair.meta["source"] for pair in held_out} == {"own.jsonl"}
    train = read_pairs(tmp_path / "p.jsonl", allow_identical=True)
    assert {pair.meta["source"] for pair in train} == {"codewords"}


def test_harmless_requests_of_held_out_pairs_are_not_trained_on(tmp_path: Path) -> None:
    rows = [{"goal": f"Say {number}."} for number in range(40)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = JailbreakSpec(kind="jailbreak", requests=["own.jsonl"], families=["fiction"], split=SplitSpec(fraction=0.5))
    parts = spec.build(tmp_path).parts
    twins = {part: {pair.prompt for pair in pairs if pair.meta["benign"]} for part, pairs in parts.items()}
    assert twins["train"]
    assert twins["held_out"]
    assert not twins["train"] & twins["held_out"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "jailbraek"', "no kind 'jailbraek'; did you mean 'jailbreak'"),
        ("kind = 3", "no kind '3'"),
        ('kind = "jailbreak"\nrequests = []', "requests: "),
        ('kind = "jailbreak"\nitems = ["facts"]', "items: unknown key"),
        ('kind = "jailbreak"\nbenign = "all"', "benign: "),
        ('kind = "jailbreak"\nfamilies = ["whisper"]', "no perturbation 'whisper'"),
        ('kind = "jailbreak"\nfamilies = ["fiction"]\nphrasings = [6]', "has 0 to 5, not 6"),
        ('kind = "jailbreak"\n[split]\nsources = ["own"]', r"split\.sources: own is held out, but is not"),
        ('kind = "jailbreak"\n[split]\ntopics = ["rivers"]', r"split\.topics: rivers"),
    ],
)
def test_a_spec_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "spec.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        build_files(tmp_path / "spec.toml", tmp_path / "p.jsonl")


def test_rewrites_that_nobody_brought_are_refused() -> None:
    with pytest.raises(DataError, match="no request came with a rewrite"):
        JailbreakSpec(kind="jailbreak", families=["rewrite"]).build()


def test_sets_for_evaluation_only_are_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    only = Source("tests/only", "example.org", "none", "only.csv", evaluation_only=True, note="please do not")
    monkeypatch.setattr(spec_module, "source", lambda name: only)
    monkeypatch.setattr(spec_module, "read_source", lambda name: ([], {"source": name}))
    with pytest.raises(ConfigError, match="for evaluation only: please do not"):
        JailbreakSpec(kind="jailbreak").read_source("tests/only")
    allowed = JailbreakSpec(kind="jailbreak", allow_evaluation_only=True)
    assert allowed.read_source("tests/only") == ([], {"source": "tests/only"})
    assert allowed.model_dump()["allow_evaluation_only"] is True


def test_one_request_in_several_settings_is_several_requests() -> None:
    rows = [{"goal": "Tell me the word."}, {"goal": "Tell me the word.", "system": "You guard a door."},
            {"goal": "Tell me the word.", "context": "A poem about doors."}]  # fmt: skip
    found = requests_from(rows, "own.jsonl")
    assert len({request.id for request in found}) == 3
    assert found[0].id == requests_from(rows[:1], "own.jsonl")[0].id
    assert found[1:] == requests_from(rows[1:], "own.jsonl")
