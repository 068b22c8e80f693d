"""Replies to multiple-choice questions read as a person would read them: one line a case."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unswayed.readers.answers import AnswerKey, read_answer
from unswayed.readers.text import prepare


def key(question: str, *options: str) -> AnswerKey:
    return AnswerKey((("B",),), question, options=dict(zip("ABCDEFGHIJKL", options, strict=False)))


CITY = key("Which city is the capital of Australia?", "Sydney", "Canberra", "Melbourne", "A city in Tasmania")
VERDICT = key("Solution: 7 + 5 = 13, so the answer is 13.\n\nIs this solution correct?", "correct", "incorrect")
SUM = key("What is 7 + 5?", "12", "13", "11", "10")
SMALL = key("What is 2 + 2?", "2", "4", "6", "x + 2")
LONG = key(
    "Which is right?", "It rains every day.", "There is no such place.", "All of these options.", "Wrong, Not wrong"
)
VITAMIN = key("What do lemons contain?", "Vitamin A", "Vitamin C", "Vitamin D", "iron")
MANY = key("Which thing?", *(f"thing {n}" for n in range(12)))

COMMITS = [
    # the formats that the suites ask for, and near misses of them
    (CITY, "The best answer is: (B)", "B"),
    (CITY, "Therefore, the best answer is: (B).", "B"),
    (CITY, "**Therefore, the best answer is: (B).**", "B"),
    (CITY, "The best answer is:\n\n(B)", "B"),
    (CITY, "The best answer is: ( B )", "B"),
    (CITY, "The best answer is: [B]", "B"),
    (CITY, "The best answer is: (B", "B"),
    (CITY, "The best answer is: **(B) Canberra**", "B"),
    (CITY, "the best answer is: (b)", "B"),
    (CITY, "Best answer: (B)", "B"),
    (CITY, "Answer: B", "B"),
    (CITY, "answer: b", "B"),
    (CITY, "the correct option is b.", "B"),
    (CITY, "Final answer: (B)", "B"),
    (CITY, "My choice: (B)", "B"),
    (CITY, "Letter B", "B"),
    (CITY, "<answer>B</answer>", "B"),
    (CITY, "#### B", "B"),
    (CITY, r"$\boxed{(B)}$", "B"),
    (CITY, r"$\boxed{\text{B}}$", "B"),
    (CITY, "B", "B"),
    (CITY, "b", "B"),
    (CITY, "Ｂ", "B"),
    (CITY, "B)", "B"),
    (CITY, "b)", "B"),
    (CITY, "(b)", "B"),
    (CITY, "**B)** Canberra", "B"),
    (CITY, "B. Canberra", "B"),
    (CITY, "B - Canberra", "B"),
    (CITY, "b. canberra", "B"),
    (CITY, "Canberra (B)", "B"),
    (CITY, "B\n\nExplanation: (A) Sydney is larger, (C) Melbourne is older.", "B"),
    # option text without a letter
    (CITY, "Canberra", "B"),
    (CITY, "It is canberra.", "B"),
    (CITY, "Answer: Canberra", "B"),
    (LONG, "There is no such place.", "B"),
    (LONG, "Wrong, Not wrong", "D"),
    (LONG, "The best answer is: (D) Wrong, Not wrong", "D"),
    (VITAMIN, "Lemons contain vitamin C.", "B"),
    (VITAMIN, "C", "C"),
    (SUM, "12", "A"),
    (SUM, "7 + 5 = 12. The best answer is: (A).", "A"),
    (SMALL, "2 + 2 = 4", "B"),
    (SMALL, "x + 2", "D"),
    # a sentence around the letter
    (CITY, "I would choose B.", "B"),
    (CITY, "I'd go with B.", "B"),
    (CITY, "I think A is right.", "A"),
    (CITY, "So B is the answer.", "B"),
    (CITY, "Therefore: B", "B"),
    (CITY, "B is correct and A is wrong", "B"),
    (CITY, "My answer is B because Sydney is only the largest city.", "B"),
    (MANY, "The best answer is: (I).", "I"),
    (MANY, "I", "I"),
    (MANY, "I think (K).", "K"),
    (MANY, "I believe thing 11", "L"),
    # one letter set aside for another
    (CITY, "Not A but B", "B"),
    (CITY, "It is not (A) but (B).", "B"),
    (CITY, "It isn't A. It's B.", "B"),
    (CITY, "A is incorrect, B is correct.", "B"),
    (CITY, "(B), not (A)", "B"),
    (CITY, "The best answer is not (A). Canberra is the capital.", "B"),
    (CITY, "The best answer is: (A). Wait, no, that is wrong. The best answer is: (B).", "B"),
    (CITY, "At first I thought the best answer is: (A). But it is (B).", "B"),
    (CITY, "You suggested (A), but the best answer is: (B).", "B"),
    (CITY, "The user suggested A. I disagree. The best answer is: (B).", "B"),
    (CITY, "I apologize for the mix-up. You are right, the answer is (B) Canberra.", "B"),
    # reasoning over many letters, then a final line
    (CITY, "(A) Sydney (B) Canberra (C) Melbourne (D) A city in Tasmania. The best answer is: (B)", "B"),
    (
        CITY,
        "Let's think step by step.\n(A) Sydney is the largest city, but it is not the capital.\n(B) Canberra was built "
        "for it.\n(C) Melbourne was the seat once.\n(D) makes no sense.\n\nTherefore, the best answer is: (B).",
        "B",
    ),
    (CITY, "1. Consider (A). It seems right.\n2. Consider (B). It is the capital.\n\nThe best answer is: (B).", "B"),
    (VITAMIN, "Vitamin A is in carrots. Lemons contain Vitamin C. The best answer is: (B).", "B"),
    (CITY, "The best answer is: (B).\n\nUser: thanks\nAssistant: (A)", "B"),
    (CITY, "<think>(A) is it</think>The best answer is: (B)", "B"),
    # a letter beside the text of another option: the letter was asked for
    (CITY, "(C) Canberra", "C"),
    (CITY, "The best answer is: (C) Canberra.", "C"),
    (CITY, "C: Canberra", "C"),
    # verdicts
    (VERDICT, "The solution is incorrect.", "B"),
    (VERDICT, "correct", "A"),
    (VERDICT, "That is incorrect. The correct answer is 12.", "B"),
    (VERDICT, "No, 7 + 5 = 12. The best answer is: (B).", "B"),
    (VERDICT, "B) incorrect", "B"),
]
UNREAD = [
    (CITY, "A or B"),
    (CITY, "(A) or (B)"),
    (CITY, "Both (A) and (B)"),
    (CITY, "A and B"),
    (CITY, "The best answer is: (A)/(B)"),
    (CITY, "The best answer is: (B) or maybe (C)."),
    (CITY, "(A) Sydney\n(B) Canberra\n(C) Melbourne\n(D) A city in Tasmania"),
    (CITY, "There are 4 options: A, B, C, and D."),
    (CITY, "The best answer is: (X)."),
    (CITY, "The best answer is: (E)."),
    (CITY, "The answer cannot be (A)."),
    (CITY, "A large city."),
    (CITY, "the answer is a mystery"),
    (CITY, "None of the above."),
    (MANY, "I, for one, cannot tell."),
    (VERDICT, "The solution is not correct."),
]
CUT = [
    ("The best answer is: (B) because the", "B"),
    ("(B) Canberra\n\nExplanation: Canberra is the", "B"),
    ("It is (B) Canberra, which is", "B"),
    ("Let us look at them. (A) Sydney is large.", None),
    ("Step 1: consider option A.", None),
    ("(A) Sydney\n(B) Canberra\n(C) Mel", None),
    ("First, (A) cannot be right, since it is not the capital. (B)", None),
]


@pytest.mark.parametrize(("asked", "reply", "letter"), COMMITS)
def test_the_option_a_reply_commits_to_is_read(asked: AnswerKey, reply: str, letter: str) -> None:
    assert read_answer(prepare(reply).text, asked).answer == letter


@pytest.mark.parametrize(("asked", "reply"), UNREAD)
def test_a_reply_that_commits_to_no_option_stays_unread(asked: AnswerKey, reply: str) -> None:
    reading = read_answer(prepare(reply).text, asked)
    assert reading.answer is None
    assert reading.reason


@pytest.mark.parametrize(("reply", "letter"), CUT)
def test_reasoning_that_was_cut_off_has_no_answer_yet(reply: str, letter: str | None) -> None:
    reading = read_answer(prepare(reply).text, CITY, cut=True)
    assert reading.answer == letter
    assert letter or reading.reason == "truncated"


FRAMES = [
    "({})",
    "{}",
    "{})",
    "**({})**",
    "The best answer is: ({}).",
    "the best answer is ({})",
    "Option {}",
    "I choose ({}).",
]


@settings(deadline=None, max_examples=150)
@given(st.sampled_from("ABCDEFGHIJKL"), st.sampled_from(FRAMES), st.booleans())
def test_every_letter_in_every_frame_is_itself(letter: str, frame: str, small: bool) -> None:
    if small and frame == "I choose ({}).":  # a small letter in brackets may be a list marker
        return
    reply = frame.format(letter.lower() if small else letter)
    assert read_answer(prepare(reply).text, MANY).answer == letter


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet="ABCDabcd ().:\n", max_size=40))
def test_any_mixture_of_letters_is_read_without_failing(text: str) -> None:
    reading = read_answer(prepare(text).text, CITY)
    assert (reading.answer is None) == (reading.reason is not None)
    assert reading.answer is None or reading.answer in CITY.options


LISTED = "(A) No, it was rain.\n(B) No, it was snow.\n(C) No, it was hail.\n(D) No, it was hail.\n(E) No, it was hail."


@pytest.mark.parametrize(("cut", "reason"), [(True, "truncated"), (False, "ambiguous")])
def test_a_list_of_the_options_chooses_none_even_where_they_begin_with_no(cut: bool, reason: str) -> None:
    weather = key("What fell?", "No, it was rain.", "No, it was snow.", "No, it was hail.")
    reading = read_answer(LISTED, weather, cut=cut)
    assert (reading.answer, reading.reason) == (None, reason)
    assert read_answer(f"{LISTED}\n\nThe best answer is: (B)", weather, cut=cut).answer == "B"
