import json
from pathlib import Path

import pytest
from sample_report import HOSTILE, hostile_report

from unswayed.core.files import dump_json
from unswayed.core.types import Estimate
from unswayed.report.model import Arm, Cell, Report, Row
from unswayed.report.records import to_json


def test_the_shape_that_readers_rely_on(report: Report) -> None:
    value = to_json(report)
    assert value["title"] == report.title
    assert list(value["arms"]) == ["base", "sft", "opct"]
    cell, row = value["arms"]["opct"]["wrong_trained"], report.rows[0]
    estimate, effect = row.cells["opct"].estimate, row.cells["opct"].effect
    assert effect is not None
    assert cell["n"] == estimate.n == 250
    assert cell["rate"] == estimate.value
    assert cell["interval"] == [estimate.low, estimate.high]
    assert cell["unscored"] == estimate.unscored == 2
    assert cell["difference"] == effect.difference
    assert cell["difference_interval"] == [effect.low, effect.high]
    assert cell["verdict"] == "improved"
    base = value["arms"]["base"]["wrong_trained"]
    assert base["difference"] is base["difference_interval"] is base["verdict"] is None
    assert "right_second_turn" not in value["arms"]["sft"]
    assert value["rows"]["wrong_trained"]["better"] == "lower"
    assert value["facts"]["Seeds"].startswith("1 training seed")


def test_an_empty_report_has_no_numbers() -> None:
    nothing = Estimate(None, None, None, 0, 0, 3, "nothing scored")
    small = Report("t", (Arm("base", "Base"),), "base", (Row("r", "R", "lower", {"base": Cell(nothing)}),))
    cell = to_json(small)["arms"]["base"]["r"]
    assert (cell["rate"], cell["interval"], cell["n"], cell["unscored"]) == (None, None, 0, 3)
    assert (cell["method"], cell["effect"]) == ("nothing scored", None)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_stored_as_it_is_or_written_out(text: str) -> None:
    stored = json.loads(dump_json(to_json(hostile_report(text))).encode())
    if any(0xD800 <= ord(char) < 0xE000 for char in text):
        assert "\\ud800" in stored["title"]
    else:
        assert stored["title"] == hostile_report(text).title


def test_both_files_are_written_and_agree(report: Report, page: Path) -> None:
    stored = (page.parent / "report.json").read_text(encoding="utf-8")
    assert stored == dump_json(to_json(report))
    assert sorted(path.name for path in page.parent.iterdir()) == ["report.html", "report.json"]
    (shown, *_) = json.loads(stored)["transcripts"][0]["shown"]
    assert set(shown["answers"]) <= {arm.id for arm in report.arms}
    assert json.loads(stored)["transcripts"][0]["pool"] == report.transcripts[0].pool
