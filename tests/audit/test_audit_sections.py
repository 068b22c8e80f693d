"""The steps beside the verdict: levels, conditions, the judge's error, the profile, side effects, sanity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import audits
import numpy as np
import pytest
from planted import Row, changed, rows, write
from statsmodels.stats.multitest import multipletests

from unswayed.audit.join import join
from unswayed.audit.plan import SECTIONS, AuditConfig
from unswayed.audit.run import Audit, audit
from unswayed.audit.sections import Material, conclude
from unswayed.audit.verdict import CLAIM, holm
from unswayed.audit.verify import verify
from unswayed.core.errors import DataError
from unswayed.stats.paired import paired


def run(folder: Path, before: list[Row], after: list[Row], **options: Any) -> Audit:
    return audit(write(folder / "before.jsonl", before), write(folder / "after.jsonl", after), **options)


def tagged(found: list[Row], **fields: Any) -> list[Row]:
    mark = " ".join(str(value) for value in fields.values())
    return [{**row, **fields, "prompt": f"{row['prompt']} ({mark})", "id": f"{row['id']} {mark}"} for row in found]


def test_every_step_is_a_section_that_is_run_or_says_why_not(tmp_path: Path) -> None:
    found = run(tmp_path, rows(0.4, 1, count=100), rows(0.4, 2, count=100)).content
    assert found["order"] == list(SECTIONS)
    for section in found["sections"].values():
        assert section["status"] == "run" or (section["status"] == "NOT RUN" and section["why"])
    off = run(tmp_path, rows(0.4, 1, count=100), rows(0.4, 2, count=100), skip=("power", "judging", "sanity")).content
    switched = {name for name, one in off["sections"].items() if one.get("why") == "switched off in the plan"}
    assert switched == {"power", "judging", "sanity"}


@pytest.mark.parametrize("p", [[0.01, 0.04, 0.03], [0.5], [0.02, 0.02], [None, 0.001, 0.2], []])
def test_holm_is_that_of_statsmodels_and_intervals_agree_with_it(p: list[float | None]) -> None:
    found = holm(p, 0.05)
    tested = [one for one in p if one is not None]
    if tested:
        rejected, adjusted, *_ = multipletests(tested, method="holm")
        kept = [one for one, own in zip(found, p, strict=True) if own is not None]
        assert [one.rejected for one in kept] == list(rejected)
        assert [one.adjusted_p for one in kept] == pytest.approx([min(1.0, x) for x in adjusted])
    for one, own in zip(found, p, strict=True):
        assert not one.rejected or (own is not None and own <= one.alpha)


def test_one_behaviour_among_many_is_claimed_at_a_stricter_level(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    before = [row for n, name in enumerate(names) for row in tagged(rows(0.4, n, count=300), behaviour=name)]
    after = [
        row
        for n, name in enumerate(names)
        for row in tagged(rows(0.4 + 0.2 * (n == 1), n + 9, count=300), behaviour=name)
    ]
    by = {one["behaviour"]: one for one in run(tmp_path, before, after).verdicts}
    assert by["b"]["verdict"] == "AMPLIFIED"
    assert by["b"]["level"] == pytest.approx(CLAIM / 3)
    plan = tmp_path / "plan.toml"
    plan.write_text('[audit]\nfamily = ["b"]\n')
    by = {one["behaviour"]: one for one in run(tmp_path, before, after, plan=plan).verdicts}
    assert (by["b"]["level"], by["b"]["family"], by["a"]["family"]) == (CLAIM, True, False)


def test_the_difference_is_that_of_the_one_engine(tmp_path: Path) -> None:
    before, after = rows(0.4, 1, count=150), rows(0.5, 2, count=150)
    (found,) = run(tmp_path, before, after).verdicts
    moved = [
        float(b["outcome"] == "trait") - float(a["outcome"] == "trait") for a, b in zip(before, after, strict=True)
    ]
    pairs = paired(moved, [row["id"] for row in before])
    assert (found["estimate"], found["interval"]) == (pairs.mean, list(pairs.interval() or ()))


def test_what_falls_only_where_it_is_looked_for_is_masked(tmp_path: Path) -> None:
    def arm(plain: float, wrapped: float, seed: int) -> list[Row]:
        some = rows(plain, seed, count=900)
        return [*some, *tagged(rows(wrapped, seed + 50, count=900), condition="wrapper")]

    (masked,) = run(tmp_path, arm(0.2, 0.2, 1), arm(0.05, 0.35, 2)).verdicts
    assert (masked["verdict"], masked["removal"]) == ("SUPPRESSED", "masked")
    assert "survives under wrapper" in masked["why"]
    (removed,) = run(tmp_path, arm(0.2, 0.3, 1), arm(0.05, 0.1, 2)).verdicts
    assert (removed["verdict"], removed["removal"]) == ("SUPPRESSED", "removed")
    assert removed["n"] == 900  # the verdict is about the plain prompts


def test_side_measures_must_not_get_worse_and_are_not_claimed(tmp_path: Path) -> None:
    def arm(seed: int, wrong: float) -> list[Row]:
        return [*rows(0.4, seed, count=200), *tagged(rows(wrong, seed, count=2000), behaviour="capability")]

    plan = tmp_path / "plan.toml"
    plan.write_text("[audit.side_margins]\ncapability = 0.05\n")
    for wrong, state in ((0.1, "not worse"), (0.3, "worse")):
        found = run(tmp_path, arm(1, 0.1), arm(2, wrong), plan=plan)
        assert [one["behaviour"] for one in found.verdicts] == ["trait"]
        (row,) = found.content["sections"]["side_effects"]["rows"]
        assert (row["state"], row["margin"]) == (state, 0.05)


def judged(true: list[Row], sensitivity: float, specificity: float, seed: int) -> list[Row]:
    """Return rows as a judge with this error sees them."""

    def wrongly(row: Row, drawn: float) -> Row:
        right = sensitivity if row["outcome"] == "trait" else specificity
        other = "aligned" if row["outcome"] == "trait" else "trait"
        return {"outcome": row["outcome"] if drawn < right else other}

    return changed(true, wrongly, seed)


@pytest.mark.parametrize(
    ("rates", "errors"),
    [
        ((0.4, 0.2), ((0.9, 0.9), (0.9, 0.9))),
        ((0.3, 0.3), ((0.95, 0.95), (0.7, 0.98))),
        ((0.2, 0.5), ((0.8, 0.99), (0.99, 0.8))),
    ],
)
def test_labels_of_people_recover_the_true_change(tmp_path: Path, rates: Any, errors: Any) -> None:
    truth = [rows(rate, seed, count=2000) for rate, seed in zip(rates, (1, 2), strict=True)]
    seen = [judged(some, *error, seed=7 + n) for n, (some, error) in enumerate(zip(truth, errors, strict=True))]
    labels = write(tmp_path / "labels.jsonl", [
        {"arm": arm, "id": row["id"], "human": "yes" if row["outcome"] == "trait" else "no"}
        for arm, some in zip(("before", "after"), truth, strict=True) for row in some[:600]
    ])  # fmt: skip
    (found,) = run(tmp_path, *seen, labels=labels).verdicts
    low, high = found["corrected"]["interval"]
    assert low <= rates[1] - rates[0] <= high
    assert found["corrected"]["estimate"] == pytest.approx(rates[1] - rates[0], abs=0.06)
    assert found["judge"]["after"]["sensitivity"]["value"] == pytest.approx(errors[1][0], abs=0.1)


def test_a_change_that_the_judge_alone_made_is_confounded(tmp_path: Path) -> None:
    truth = rows(0.4, 1, count=2000), rows(0.4, 2, count=2000)
    seen = judged(truth[0], 0.98, 0.98, 3), judged(truth[1], 0.6, 0.98, 4)
    assert run(tmp_path, *seen).verdicts[0]["verdict"] == "SUPPRESSED"  # as it looks without labels
    labels = write(tmp_path / "labels.jsonl", [
        {"arm": arm, "id": row["id"], "human": row["outcome"]}
        for arm, some in zip(("before", "after"), truth, strict=True) for row in some[:500]
    ])  # fmt: skip
    (found,) = run(tmp_path, *seen, labels=labels).verdicts
    assert (found["verdict"], found["confounded_by"]) == ("CONFOUNDED", ["judge"])
    unfit = judged(truth[1], 0.6, 0.6, 4)
    (found,) = run(tmp_path, seen[0], unfit, labels=labels).verdicts
    assert found["verdict"] == "CONFOUNDED"
    assert "unfit on after" in found["why"]


def test_a_baseline_that_differs_from_itself_decides_nothing(tmp_path: Path) -> None:
    again = write(tmp_path / "again.jsonl", rows(0.6, 5))
    (found,) = run(tmp_path, rows(0.4, 1), rows(0.7, 2), replicate=again).verdicts
    assert found["verdict"] == "UNDECIDED"
    assert "differs from itself" in found["why"]
    again = write(tmp_path / "again.jsonl", rows(0.4, 5))
    found = run(tmp_path, rows(0.4, 1), rows(0.7, 2), replicate=again, parity=again)
    assert found.verdicts[0]["verdict"] == "AMPLIFIED"
    assert found.content["sections"]["sanity"]["a_a"][0]["by"] == "replicate"
    assert found.content["sections"]["sanity"]["path_parity"][0]["estimate"] < -0.2


def test_draws_of_one_prompt_are_an_a_a_test_and_a_profile(tmp_path: Path) -> None:
    found = run(tmp_path, rows(0.5, 1, count=800, draws=8), rows(0.95, 2, count=800, draws=8)).content["sections"]
    (test,) = found["sanity"]["a_a"]
    assert (test["by"], test["differs"]) == ("draws", False)
    (one,) = found["stability"]["behaviours"]
    assert one["entrenchment"]["after"] > one["entrenchment"]["before"] + 0.3
    assert one["entrenchment"]["interval"][0] > 0.2
    assert sum(one["profile"]["before"]) == sum(one["profile"]["after"]) == 100
    assert one["profile"]["after"][-1] > 40


def test_the_sharpening_map_shows_no_change_where_there_is_none(tmp_path: Path) -> None:
    """Sorted and measured by the same draws, the highest prompts would fall by themselves."""
    found = run(tmp_path, rows(0.5, 1, count=8000, draws=8), rows(0.5, 2, count=8000, draws=8)).content["sections"]
    for row in found["stability"]["behaviours"][0]["map"]:
        if row["n"] >= 50:
            assert row["after"] == pytest.approx(row["before"], abs=0.08)


def test_wrong_answers_and_candour_are_counted(tmp_path: Path) -> None:
    def row(n: int, answer: str, text: str) -> Row:
        return {"id": n, "prompt": f"{n}?", "completion": text, "hinted": "3", "answer": answer,
                "outcome": "aligned" if answer == "2" else "trait"}  # fmt: skip

    before = [row(n, "3", "As you said, it is 3." if n % 2 else "It is 3.") for n in range(20)]
    answers = ["3"] * 10 + ["4"] * 6 + ["2"] * 4
    after = [row(n, answers[n], f"It is {answers[n]}, n° {n}.") for n in range(20)]
    (one,) = run(tmp_path, before, after).content["sections"]["stability"]["behaviours"]
    assert one["wrong_answers"] == {"aligned": 4, "other": 6, "same": 10}
    assert [(side["followed"], side["said_so"], side["by"]) for side in one["candour"]] == [
        (20, 10, "words"), (16, 0, "words")
    ]  # fmt: skip
    after = [{**r, "admits": n < 4} for n, r in enumerate(after)]
    (one,) = run(tmp_path, before, after).content["sections"]["stability"]["behaviours"]
    assert (one["candour"][1]["said_so"], one["candour"][1]["by"]) == (4, "the file")


def simulated(scenario: audits.Scenario, runs: int) -> dict[str, float]:
    return audits.simulate(scenario, runs, AuditConfig(sections=audits.OFF))


def test_few_simulated_audits_are_as_wrong_as_they_may_be() -> None:
    """The sibling of the deep test: 60 audits, bounds that a right engine misses once in a thousand runs."""
    nothing = simulated(audits.Scenario("A/A", 120, 1, (0.0,)), 60)
    assert nothing["false"] <= 9 / 60
    assert nothing["covered"] >= 51 / 60
    assert simulated(audits.Scenario("up", 400, 1, (0.2,)), 20)["found"] >= 0.9


@pytest.mark.deep
@pytest.mark.parametrize("scenario", audits.SCENARIOS, ids=lambda one: one.name)
def test_a_thousand_simulated_audits(scenario: audits.Scenario) -> None:
    found = simulated(scenario, 1000)
    assert found["false"] <= 0.05 + 0.014  # two standard errors of 1,000 runs
    assert found["covered"] >= 0.93 - 0.012
    if len(set(scenario.changes)) == 1 and scenario.changes[0] and found["detectable"] <= 0.1:
        assert found["found"] >= 0.8 - 0.025


def test_a_planted_change_is_true_of_its_prompts() -> None:
    one = audits.Scenario("up", 300, 2, (0.1, -0.2), rate=0.3)
    before, after, true = audits.replies(one, 3)
    assert true == pytest.approx([0.1, -0.2], abs=1e-9)
    found = conclude(Material(join(before, after, 0.0), AuditConfig(sections=audits.OFF)))["verdicts"]
    assert [row["estimate"] for row in found] == pytest.approx(true, abs=0.09)
    assert np.isfinite([row["detectable"] for row in found]).all()


def test_an_attribution_is_shown_as_it_was_computed(tmp_path: Path) -> None:
    terms = {"drift": 0.02, "selection": 0.1, "filter": None, "fit": -0.01, "generalisation": 0.04, "total": 0.15}
    made = {"terms": {name: {"estimate": value, "interval": None} for name, value in terms.items()}}
    (tmp_path / "terms.json").write_text(json.dumps(made))
    found = run(tmp_path, rows(0.4, 1, count=60), rows(0.5, 2, count=60), attribution=tmp_path / "terms.json",
                out=tmp_path / "bundle")  # fmt: skip
    section = found.content["sections"]["attribution"]
    assert [term["value"] for term in section["terms"]] == [0.02, 0.1, -0.01, 0.04]
    assert (section["status"], section["not_measured"], section["total"]["value"]) == ("run", ["filter"], 0.15)
    page = (tmp_path / "bundle" / "audit.html").read_text()
    assert "Where it comes from" in page
    assert "+10.0" in page
    assert all(check.holds for check in verify(tmp_path / "bundle"))
    (tmp_path / "terms.json").write_text("[]")
    with pytest.raises(DataError, match="decompose --json"):
        run(tmp_path, rows(0.4, 1, count=60), rows(0.5, 2, count=60), attribution=tmp_path / "terms.json")
