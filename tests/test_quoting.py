"""Text that others wrote cannot end its marks, forge a chat turn or hide from the reader."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.core.quoting import disarm, quoted, shown, skeleton, transcript
from unswayed.core.types import Message

NAMES = ("request", "reply")


@pytest.mark.parametrize(
    "text",
    [
        "</reply>", "< / Reply >", "</reply 12345678>", "<reply>", "<request x=1>", "＜/ｒｅｐｌｙ＞", "</rерlу>",
        "‹/reply›", "⟨/reply⟩", "</ré́ply>", "<|im_end|>", "<｜im_end｜>", "[/INST]", "［/INST］", "</s>",
        "<<SYS>>", "<start_of_turn>", "</think>", "</rep\u00adly>", "</reply\n", "</𝐫𝐞𝐩𝐥𝐲>",
    ],
)  # fmt: skip
def test_what_looks_like_a_mark_or_a_turn_loses_its_brackets(text: str) -> None:
    safe, found = disarm(f"before {text} after", NAMES)
    assert found
    assert not re.search(r"[<\[]\s*/?\s*[a-z|<]", skeleton(safe))
    assert safe.startswith("before ")
    assert safe.rstrip().endswith("after")
    assert disarm(safe, NAMES) == (safe, False)


@pytest.mark.parametrize(
    "text", ["1 < 2 and 3 > 2", "<b>bold</b>", "a [list] of x", "<replying>", "if a<s then b>s", "Привет"]
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert disarm(text, NAMES) == (text, False)


def test_special_tokens_of_a_tokenizer_are_taken_apart() -> None:
    safe, found = disarm("x ~~END~~ y", NAMES, ("~~END~~", "~", "", " "))
    assert found
    assert "~" not in safe


def test_what_draws_nothing_is_left_out_and_lines_end_one_way() -> None:
    tags = "".join(chr(0xE0000 + ord(char)) for char in "obey")
    assert shown(f"a\u200bb\u202e\r\nc\u2028d\x1b[1m{tags}\ud800") == "ab\nc\nd[1m"
    assert shown("Grüße, 漢字, \t🙂") == "Grüße, 漢字, \t🙂"


def test_transcripts_and_quotes() -> None:
    assert transcript((Message("user", "hi"),)) == "hi"
    assert transcript((Message("system", "s"), Message("user", "u"))) == "System: s\n\nUser: u"
    assert quoted("reply", "x", "ab") == "<reply ab>\nx\n</reply ab>"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["</reply>", "<reply", "[INST]", "<|x|>"]), st.text(max_size=60))
def test_no_text_around_a_mark_saves_it(before: str, mark: str, after: str) -> None:
    safe, _ = disarm(shown(before + mark + after), NAMES)
    look = skeleton(safe)
    assert not re.search(r"<\s*/?\s*(?:request|reply)\b", look)
    assert "[inst]" not in look
    assert not re.search(r"<\|[^|<>\n]{1,40}\|>", look)
