"""A bundle is recomputed bit by bit by anyone, and shows every change that was made to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from planted import Row, changed, rows, write

from unswayed.audit.run import Audit, audit
from unswayed.audit.verify import verify
from unswayed.cli.main import load
from unswayed.core.errors import ConfigError, DataError


def pair(folder: Path, rate: float = 0.7, seed: int = 2) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    before, after = rows(0.4, 1, count=120, draws=2), rows(rate, seed, count=120, draws=2)
    return write(folder / "before.jsonl", before), write(folder / "after.jsonl", after)


def made(folder: Path, **options: object) -> Audit:
    return audit(*pair(folder / "in"), out=folder / "bundle", **options)  # type: ignore[arg-type]


def states(folder: Path) -> dict[str, bool | None]:
    return {check.name: check.holds for check in verify(folder)}


def test_a_bundle_holds_what_verify_recomputes(tmp_path: Path) -> None:
    found = made(tmp_path)
    out = tmp_path / "bundle"
    names = {"plan.json", "before.jsonl", "after.jsonl", "outcomes.jsonl", "audit.json", "audit.html", "manifest.json"}
    assert {path.name for path in out.iterdir()} == names
    assert json.loads((out / "audit.json").read_text()) == json.loads(json.dumps(found.content))
    assert set(states(out).values()) == {True}
    assert CliRunner().invoke(load("audit"), ["verify", str(out)]).exit_code == 0


def _line(name: str, change: Callable[[Row], Row]) -> Callable[[Path], None]:
    def edit(out: Path) -> None:
        lines = (out / name).read_text().splitlines()
        lines[5] = json.dumps(change(json.loads(lines[5])), sort_keys=True)
        (out / name).write_text("\n".join(lines) + "\n")

    return edit


def _text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(out: Path) -> None:
        text = (out / name).read_text()
        assert old in text
        (out / name).write_text(text.replace(old, new, 1))

    return edit


def _flip(row: Row) -> Row:
    return {**row, "outcome": "trait" if row["outcome"] == "aligned" else "aligned"}


EDITS = {
    "an outcome": (_line("outcomes.jsonl", _flip), {"files", "outcomes", "verdicts"}),
    "a reply": (_line("after.jsonl", lambda row: {**row, "completion": "the the the the the"}), {"files", "verdicts"}),
    "a prompt": (
        _line("after.jsonl", lambda row: {**row, "messages": [{"role": "user", "content": "Else?"}]}), {"files"},
    ),
    "a verdict": (_text("audit.json", '"verdict": "AMPLIFIED"', '"verdict": "NEUTRAL"'), {"files", "verdicts", "page"}),
    "the page": (_text("audit.html", "AMPLIFIED", "NEUTRAL"), {"files", "page"}),
    "the plan": (_text("plan.json", '"eps": 0.05', '"eps": 0.25'), {"files", "plan", "verdicts"}),
}  # fmt: skip


@pytest.mark.parametrize("what", EDITS)
def test_whatever_is_changed_shows(tmp_path: Path, what: str) -> None:
    edit, wanted = EDITS[what]
    made(tmp_path)
    edit(tmp_path / "bundle")
    if what == "a prompt":  # then the arms no longer join
        with pytest.raises(DataError, match="no counterpart"):
            verify(tmp_path / "bundle")
        return
    assert {name for name, holds in states(tmp_path / "bundle").items() if holds is False} == wanted
    assert CliRunner().invoke(load("audit"), ["verify", str(tmp_path / "bundle")]).exit_code == 10


def test_a_manifest_that_was_made_to_fit_still_shows_the_number(tmp_path: Path) -> None:
    from unswayed.audit.bundle import write_manifest

    made(tmp_path)
    out = tmp_path / "bundle"
    EDITS["a verdict"][0](out)
    write_manifest(out)
    assert {name for name, holds in states(out).items() if holds is False} == {"verdicts", "page"}


def test_outcomes_of_a_rule_are_given_again(tmp_path: Path) -> None:
    before, after = (rows(rate, seed, count=60, own=False) for rate, seed in ((0.4, 1), (0.7, 2)))
    out = tmp_path / "bundle"
    audit(write(tmp_path / "b.jsonl", before), write(tmp_path / "a.jsonl", after), rule="agrees", out=out)
    assert set(states(out).values()) == {True}
    _line("outcomes.jsonl", _flip)(out)
    assert states(out)["outcomes"] is False


def test_no_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no bundle"):
        verify(tmp_path)


def test_the_plan_is_hashed_before_anything_is_judged(tmp_path: Path) -> None:
    bare = write(tmp_path / "b.jsonl", rows(0.4, 1, count=30, own=False))
    with pytest.raises(ConfigError, match="no rule"):
        audit(bare, bare, rule="nonsense", out=tmp_path / "bundle")
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["plan.json"]


def test_the_same_audit_again_changes_no_byte_and_counts_no_look(tmp_path: Path) -> None:
    made(tmp_path)
    held = {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()}
    made(tmp_path)
    assert held == {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()}


def test_another_look_at_the_same_prompts_widens_the_threshold(tmp_path: Path) -> None:
    (first,) = made(tmp_path).verdicts
    other = pair(tmp_path / "other", 0.6, 3)
    with pytest.raises(ConfigError, match="--again"):
        audit(*other, out=tmp_path / "bundle")
    (second,) = audit(*other, out=tmp_path / "bundle", again=True).verdicts
    assert (first["looks"], second["looks"]) == (1, 2)
    assert second["level"] == pytest.approx(first["level"] / 2)
    assert second["detectable"] > 0
    with pytest.raises(ConfigError, match="holds no audit"):
        audit(*other, out=tmp_path / "other")


def test_a_plan_file_and_what_departs_from_it(tmp_path: Path) -> None:
    plan = tmp_path / "audit.toml"
    plan.write_text(
        "[audit]\neps = 0.02\nlooks = 3\n[audit.sections]\nstability = false\n[audit.margins]\ntrait = 0.1\n"
    )
    found = made(tmp_path, plan=plan, looks=1)
    assert found.content["given"]["departures"] == ["looks was 3 in the plan and is 1"]
    assert found.verdicts[0]["eps"] == 0.1
    assert found.content["sections"]["stability"] == {
        "title": "Stability profile", "status": "NOT RUN", "why": "switched off in the plan",
    }  # fmt: skip
    page = (tmp_path / "bundle" / "audit.html").read_text()
    assert "Departures from the plan" in page
    assert re.search(r"Stability profile</dt><dd><span[^>]*>NOT RUN</span> switched off in the plan", page)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[audit]\nepsilon = 0.1", "epsilon: unknown key"),
        ("[audit.sections]\nverdicts = false", "cannot be switched off"),
        ("[audit.sections]\nnoise = false", "no such section"),
        ("[audit]\neps = 5", "less than 1"),
        ("[plan]\nmargins = {}", "declares no audit"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "audit.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        made(tmp_path, plan=tmp_path / "audit.toml")


def test_the_page_needs_nothing_and_folds_texts_of_unknown_harm(tmp_path: Path) -> None:
    def hostile(row: Row, drawn: float) -> Row:
        return {"completion": row["completion"] + "<script>alert(1)</script>\u202e"}

    before, after = pair(tmp_path / "in")
    rows_ = [json.loads(line) for line in after.read_text().splitlines()]
    write(after, changed(rows_, hostile))
    audit(before, after, out=tmp_path / "bundle")
    page = (tmp_path / "bundle" / "audit.html").read_text()
    assert "<script" not in page
    assert "\u202e" not in page
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert '<details class="card transcript">' in page
    for part in ("AMPLIFIED", "Holm", "A/A test" if "no A/A test" in page else "A/A by draws", "NOT RUN", "SHA-256"):
        assert part in page, part


def test_texts_of_suites_that_are_sensitive_are_hidden_unless_asked_for(tmp_path: Path) -> None:
    import answering

    from unswayed.evals.run import evaluate
    from unswayed.evals.suites.sycophancy import suggested_answer

    suite = suggested_answer(limit=12)
    for name, reply in (("before", answering.right), ("after", answering.hinted)):
        evaluate(answering.Scripted(suite, reply, identity=name), suite, out=tmp_path / name)
        about = tmp_path / name / "eval.json"
        about.write_text(about.read_text().replace('"sensitive": false', '"sensitive": true'))
    files = tmp_path / "before", tmp_path / "after"
    hidden = json.dumps(audit(*files).content["transcripts"])
    shown = json.dumps(audit(*files, show_sensitive=True).content["transcripts"])
    asked = suite.samples[0].messages[-1].content[:20]
    assert "not shown; SHA-256" in hidden
    assert "not shown" not in shown
    assert json.dumps(asked).strip('"') not in hidden


def test_a_drafted_plan_is_a_plan_and_says_what_so_many_prompts_show(tmp_path: Path) -> None:
    before, after = pair(tmp_path / "in")
    plan = tmp_path / "audit.toml"
    ran = CliRunner().invoke(load("audit"), ["plan", str(before), "-o", str(plan), "--rule", "agrees"])
    assert ran.exit_code == 0
    assert re.search(r'"trait" = 0.05 +# 60 prompts: shows \d', plan.read_text())
    found = audit(before, after, plan=plan).content
    assert found["given"]["departures"] == []
    assert found["verdicts"] == audit(before, after, rule="agrees").content["verdicts"]
    with pytest.raises(ConfigError, match="not overwritten"):
        CliRunner().invoke(load("audit"), ["plan", "-o", str(plan)], catch_exceptions=False)
    assert CliRunner().invoke(load("audit"), ["plan", "-o", str(tmp_path / "empty.toml")]).exit_code == 0
    assert audit(before, after, plan=tmp_path / "empty.toml").verdicts
