"""`unswayed attack` and `compare` on attack folders, as a user runs them, on a tiny model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from unswayed.cli.main import main


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["unswayed", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_attack_twice_and_compare(tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--limit", "3", "--budget", "queries=4", "--max-new-tokens", "8", "--dtype", "float32"]
    first = ["attack", str(tiny_model_dir), "codewords", "--attacker", "direct", *given, "-o", str(tmp_path / "a")]
    code, out, err = run(*first, capsys=capsys)
    assert code == 0, err
    assert "nothing could be graded of what direct at 4 queries tried" in out  # replies of 8 tokens are all cut
    assert json.loads((tmp_path / "a" / "results.json").read_text())["spent"]["queries"] == 12
    code, out, _ = run(
        "attack", "run", str(tiny_model_dir), "jailbreak/behaviours:codewords", "--attacker", "direct", *given,
        "-o", str(tmp_path / "b"), "--json", capsys=capsys,
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["behaviours"] == 3
    code, out, _ = run("compare", str(tmp_path / "a"), str(tmp_path / "b"), capsys=capsys)
    assert code == 0
    assert "0 pairs, 3 missing: not known" in out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--attacker", "serach"], "did you mean 'search'"),
        (["--budget", "queries=none"], "a budget is queries=N"),
        (["--part", "all"], "none of pool, train, held_out"),
        (["-A", "sessions"], "is not NAME=VALUE"),
        (["-A", "wings=2"], "not wings"),
    ],
)
def test_bad_input_is_named(
    words: list[str], reason: str, tiny_model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run("attack", str(tiny_model_dir), "codewords", *words, "-o", str(tmp_path / "x"), capsys=capsys)
    assert code == 2
    assert reason in " ".join(err.split())
    assert not (tmp_path / "x").exists()
