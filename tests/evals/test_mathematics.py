"""Final answers of worked solutions: which text is the answer, which number it states, and whether it is right."""

from __future__ import annotations

from fractions import Fraction

import pytest

from unswayed.core.types import UNKNOWN, Completion, Message, Sample, Score
from unswayed.evals.scoring.mathematics import final_answer, notation, score_mathematics, score_number
from unswayed.readers.numbers import number


def sample(target: str, question: str = "How many tiles are there in the garden?") -> Sample:
    return Sample("1", (Message("user", question),), "1", "question", (target,), {"question": question})


def scored(target: str, text: str, *, cut: bool = False) -> Score:
    return score_mathematics(sample(target), Completion(text, "length" if cut else "stop", 50, 9))


def counted(target: str, text: str, *, cut: bool = False) -> Score:
    return score_number(sample(target), Completion(text, "length" if cut else "stop", 50, 9))


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (r"So \boxed{12}.", "12"),
        (r"So $\boxed{\frac{3}{4}}$.", r"\frac{3}{4}"),
        (r"\[\boxed{\left\{1, 2\right\}}\]", r"\left\{1, 2\right\}"),
        (r"\boxed 7", "7"),
        (r"\fbox{7}", "7"),
        (r"First \boxed{3}; no, wait: \boxed{5}.", "5"),  # the later one
        (r"\boxed{3} and \boxed{5}", "3, 5"),  # one answer of two parts
        (r"$\boxed{3}$, $\boxed{5}$", "3, 5"),
        (r"\boxed{3}, again \boxed{3}", "3"),
        (r"\boxed{5} This answer is the number of tiles.", "5"),
        (r"\boxed{5}. Wait, the answer is 6.", "6"),
        (r"The answer is 4. Hence \boxed{6}", "6"),
        (r"The final answer is \boxed{p - q}", "p - q"),
        (r"The answer is $\frac{1}{2}$.", r"\frac{1}{2}"),
        ("The answer is p - q.", "p - q"),
        ("**Final Answer:** 12", "12"),
        ("**Answer:**\n12.5", "12.5"),
        ("Answer: $x = 5$, as was asked.", "x = 5"),
        ("so 3 * 4\n#### 12", "12"),
        ("#### 1\nThe next step.\n#### 12", "12"),
        ("<answer>(3, 4]</answer>", "(3, 4]"),
        ("The answer is 3.5. It is small.", "3.5"),
        ("We see.\n\nSo $y = 2$ and hence $x = 4$.", "x = 4"),
    ],
)
def test_what_a_reply_ends_on(reply: str, answer: str) -> None:
    found = final_answer(reply)
    assert found is not None
    assert found == answer


def test_what_has_no_final_answer() -> None:
    assert final_answer("I am not sure about this.") is None
    assert final_answer(r"Then \boxed{12", cut=True) is None
    assert final_answer("There is $x$ here.\n\nAnd nothing there.") is None
    assert final_answer("We see.\n\nSo $x = 4$.") == "x = 4"


@pytest.mark.parametrize(
    "reply", ["We see.\n\nSo $x = 4$", "#### 12", "The answer is 12", "Answer: 12", r"Then \boxed{1", "So x = 12"]
)
def test_a_mark_at_the_cut_does_not_count(reply: str) -> None:
    assert final_answer(reply, cut=True) is None
    assert scored("12", reply, cut=True).reason == "truncated"


def test_a_mark_before_the_cut_counts() -> None:
    assert scored("12", r"So \boxed{12}. To check this we", cut=True).value == 1
    assert scored("12", "The answer is 12. To check this we", cut=True).value == 1
    assert scored("12", "#### 12\nTo check", cut=True).value == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-12", -12), ("+3", 3), ("1,200", 1200), ("$1,200.50", Fraction("1200.5")), (".5", Fraction(1, 2)),
        ("12 apples", 12), ("12%", 12), ("12km", 12), ("12.", 12), ("$18 a day for 7 days", 18), ("12.00", 12),
        ("x = 12", 12), ("5 + 7 = 12", 12), ("48/2 = 24 clips", 24), (r"\frac{6}{4}", Fraction(3, 2)),
        ("3/4", Fraction(3, 4)),
        (r"-\frac{1}{2}", Fraction(-1, 2)), (r"1{,}200", 1200), (r"32,\!348", 32348), (r"12\text{ cookies}", 12),
        ("12 (that is 5 more than 7)", 12), ("-$5", -5), ("€7", 7), ("0", 0), ("007", 7), ("1000000", 1000000),
        ("about 12", 12), ("\uff11\uff12", 12),
        ("1e5", 100_000), ("1.5E+3 m", 1500), ("2e-2", Fraction(1, 50)), ("10^5", 100_000),
        (r"1.2 \times 10^{3}", 1200),
        ("-3 * 10^2", -300), ("1,200, that is all", 1200), ("12e", 12), ("12 eggs", 12),
    ],
)  # fmt: skip
def test_the_number_an_answer_states(text: str, value: Fraction) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "none", "5 + 7", "5 hours and 30 minutes", "3 or 4", "1/0", "x", "3-4", "10,20", 
        "1,234,56", "10, 20", "3; 4", "$5, $6", "1e5000", "2^3", "1e5 and 3", "10^5 + 1", "1.2.3",
    ],
)  # fmt: skip
def test_no_single_number(text: str) -> None:
    assert number(text) is None


@pytest.mark.parametrize(
    ("target", "reply", "value"),
    [
        ("12", "3*4 = 12\n#### 12", 1.0),
        ("12", "Answer: 12 apples", 1.0),
        ("1200", r"Thus \boxed{\$1,200.00}", 1.0),
        ("1,200", "The answer is 1200.", 1.0),
        ("25", "The answer is 25%.", 1.0),
        ("7", "The answer is 17.", 0.0),
        ("7", "The answer is 7.5.", 0.0),
        ("7", "The answer is -7.", 0.0),
        ("-7", "The answer is -7.", 1.0),
        ("7", "Answer: 7\nWait, that is wrong.\nAnswer: 9", 0.0),
        ("7", "It is 7.", 1.0),  # no mark: the general rule
        ("12", "<think>it may be 13. Answer: 13</think>Answer: 12", 1.0),
    ],
)
def test_number_scores(target: str, reply: str, value: float) -> None:
    assert counted(target, reply).value == value


@pytest.mark.parametrize("said", ["10,20", "10, 20", "10; 20"])
def test_a_number_that_may_be_meant_in_two_ways_is_unscored(said: str) -> None:
    for target in ("10", "20", "10.2", "1020"):
        assert counted(target, rf"Thus \boxed{{{said}}}") == Score(None, reason="ambiguous")
    assert counted("100000", "Answer: 1e5").value == 1
    assert counted("1", "Answer: 1e5").value == 0
    assert counted("1000", r"Thus \boxed{10^{3}}").value == 1


def test_numbers_that_were_cut_off_or_never_came() -> None:
    assert counted("12", "First we add 12", cut=True) == Score(None, reason="truncated")
    assert counted("12", "The answer is 1", cut=True).value is None
    assert counted("12", "").reason == "empty"
    assert counted("12", "<think>it is 12").reason == "thinking not closed"
    assert counted("12", "I like gardens.") == Score(0.0, answer=UNKNOWN)


@pytest.mark.parametrize(
    ("right", "given"),
    [
        (r"\frac{1}{2}", r"\dfrac12"), (r"\text{Evelyn}", "evelyn"), ("(3, 4)", r"\left(3,4\right)"), ("1234", "1,234"),
        ("50", r"50\%"), ("90", r"90^\circ"), (r"\$36", "36"), ("12", "12."), (r"x \in [1,2]", r"x\in[1, 2]"),
    ],
)  # fmt: skip
def test_notation_that_means_the_same(right: str, given: str) -> None:
    assert notation(right) == notation(given)
    assert scored(right, rf"\boxed{{{given}}}").value == 1


@pytest.mark.parametrize(
    ("right", "given"),
    [
        (r"\frac{1}{2}", "0.5"), (r"\frac{1}{2}", "1/2"), (r"\frac{1}{2}", r"\frac{2}{4}"), ("5", "x = 5"),
        ("12", "12.0"),
        ("2, 3", "3, 2"), (r"\sqrt{8}", r"2\sqrt{2}"), ("x^2 - 1", "(x-1)(x+1)"), (r"3\pi", r"\pi \cdot 3"),
        ("-3", r"\frac{-6}{2}"), ("[2,5)", r"\left[2, 5\right)"), (r"\frac{\pi}{2}", r"\pi/2"),
    ],
)  # fmt: skip
def test_values_that_are_equal(right: str, given: str) -> None:
    assert scored(right, rf"Thus $\boxed{{{given}}}$.").value == 1


@pytest.mark.parametrize(
    ("right", "given"),
    [
        ("7", "17"), ("7", "7.5"), (r"\frac{1}{2}", r"\frac{1}{3}"), ("2, 3", "2"), ("2", "2, 3"), ("(2, 3)", "(3, 2)"),
        ("[2,5)", "[2,5]"), ("x^2", "x^3"), (r"\text{Evelyn}", "Evel"), ("5", "-5"), ("5", "5x"), ("p - q", "q - p"),
        ("12", "eleven or so"), ("2", r"\boxed{2} or \boxed{3}"),
    ],
)  # fmt: skip
def test_values_that_are_not(right: str, given: str) -> None:
    assert scored(right, rf"Thus the answer is ${given}$.").value == 0


def test_a_solution_without_an_answer_is_wrong_and_a_cut_one_unscored() -> None:
    assert scored("12", "I do not see how.") == Score(0.0, answer=UNKNOWN)
    assert scored("12", "I do not see how yet", cut=True) == Score(None, reason="truncated")
    assert scored("12", "  ").reason == "empty"
    assert scored("12", rf"\boxed{{{'1+' * 400}1}}").reason == "answer too long"
