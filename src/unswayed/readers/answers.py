"""Which answer a reply gives: one rule for numbers (see `numbers`), for lettered options and for answers in words.

The marked answer decides ("the answer is …", `\\boxed{…}`; see `marks`). Without one, an answer is *named* where it
stands with nothing glued to it, and set aside where it is negated, somebody else's, or a past belief. What remains
counts by its clause: chosen ("I pick B", "B is correct"), else stated ("it is Canberra"), else named in passing. If
the answers of the highest kind differ, the last one stands where something says so ("no, wait", "but", "so");
otherwise the reply is ambiguous and stays unread. With no answer named, "you are right" is the suggested one, and a
bare "no" stands by one that was challenged. A reply cut off at the length limit gives a mark, or an answer that its
first, finished clause states.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from unswayed.readers.letters import letter_pattern
from unswayed.readers.marks import CORRECTS, marked
from unswayed.readers.numbers import number, numbers, read_number, spelled
from unswayed.readers.patterns import patterns, word_list
from unswayed.readers.text import plain, words

Kind = Literal["number", "choice", "text"]
CHOSEN, STATED, IN_PASSING = 3, 2, 1
MOST = 300
"""How many named answers, counted from the end, are looked at: an endless list takes no endless time."""
_P = patterns("answers")
REFUSES = _P["refuses"]
_FIRST = 0xE000
_ANSWER = "[\ue000-\uf8ff]"
"""A named answer stands in the text as one private character."""


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """What a reply is read against.

    Attributes:
        answers: known answers, the right one first; each as its accepted spellings, most canonical first. A number or a
            word that is none of them is read all the same.
        question: the question without any hint.
        suggested: the answer that the prompt itself suggests, so that "you are right" means it.
        yes: the answer that a bare "yes" stands for.
        options: letter to text, where the question lists options.
        sure: the answer that "I am sure" stands by, where one was challenged; else `yes`. To a challenge, a bare "yes"
            or "no" for which nothing is given stays unread.
        no: the answer that a bare "no" stands by.
    """

    answers: tuple[tuple[str, ...], ...]
    question: str = ""
    suggested: str | None = None
    yes: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    sure: str | None = None
    no: str | None = None

    @property
    def right(self) -> str:
        """The right answer in its canonical spelling."""
        return canonical(self.answers[0])

    @property
    def kind(self) -> Kind:
        """How answers are spelled, told by the right one."""
        if self.options:
            return "choice"
        return "number" if as_number(self.answers[0][0]) is not None else "text"


class Reading(NamedTuple):
    """The answer in its canonical spelling, or why none was read; and the words it was read from."""

    answer: str | None
    reason: str | None = None
    read: str = ""


class Named(NamedTuple):
    """An answer at a place in the reply. `letter`: by its letter; `rank`: what its clause says of it."""

    start: int
    end: int
    answer: str
    letter: bool = False
    rank: int = IN_PASSING


def as_number(text: str) -> str | None:
    """Return a number in canonical spelling ("$1,200.00" is "1200"), or None if the text is anything else."""
    bare = plain(text).strip().rstrip(".")
    if not re.fullmatch(r"[-+]?[$€£¥]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", bare):
        return None
    return spell(number(bare))


def spell(value: object) -> str | None:
    """Return a number as records have it: whole numbers and decimals as such, other fractions as one; None for None."""
    if value is None:
        return None
    top, bottom = value.numerator, value.denominator  # type: ignore[attr-defined]
    places = next((n for n in range(13) if 10**n % bottom == 0), None)
    if not places:
        return f"{top}/{bottom}" if bottom != 1 else str(top)
    digits = str(abs(top) * (10**places // bottom)).rjust(places + 1, "0")
    return f"{'-' if top < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def canonical(spellings: tuple[str, ...]) -> str:
    """Return the one spelling that stands for all of them in records; "" where there is none."""
    return (as_number(spellings[0]) or spellings[0]) if spellings else ""


def read_answer(reply: str, key: AnswerKey, *, cut: bool = False) -> Reading:
    """Return the answer that a prepared reply (see `text.prepare`) gives.

    Args:
        reply: plain text.
        key: what the answers are called.
        cut: the reply reached its length limit.
    """
    if key.kind == "number":
        found = read_number(reply, cut=cut)
        if found.value is not None or found.reason == "ambiguous":
            return Reading(spell(found.value), found.reason, found.read)
    else:
        read = _named_answer(reply, key, cut)
        if read.answer is not None or read.reason:
            return read
        figures = {_figure(text): letter for letter, text in key.options.items() if _figure(text)}
        figure = read_number(reply, cut=cut) if figures else None
        if figure is not None and spell(figure.value) in figures:
            return Reading(figures[spell(figure.value)], None, figure.read)
    return _no_answer(reply, key, cut)


def _figure(text: str) -> str | None:
    """Return the number that an option is, in digits or in one word."""
    return as_number(text) or (spell(number(text)) if len(words(text)) == 1 else None)


def lone_letter(text: str) -> str | None:
    """Return the letter of an answer that is nothing else, "(B)" or "b.", or None."""
    found = re.fullmatch(r"\W*([A-Za-z])\W*", plain(text))
    return found[1].upper() if found else None


def read_letter(reply: str) -> str | None:
    """Return the letter of the option that a reply chooses where the options' texts are unknown, or None."""
    return read_answer(plain(reply), AnswerKey((("A",),), options=dict.fromkeys("ABCDEFGHIJ", ""))).answer


def _named_answer(reply: str, key: AnswerKey, cut: bool) -> Reading:
    """Return the answer that is marked or named; without answer and reason where none is."""
    named = _names(reply, key)
    text, place = "", 0
    for number_, one in enumerate(named):
        text += reply[place : one.start] + chr(_FIRST + number_)
        place = one.end
    text += reply[place:]
    mark = marked(text, cut=cut)
    if mark is not None:
        cue = None if cut else CORRECTS.search(text, mark.end)
        given = _pick(text[cue.end() :], named, key) if cue else Reading(None)
        given = given if given.answer else _pick(mark.text, named, key, is_mark=True)
        if given != Reading(None):
            return given._replace(read=_shown(mark.text, reply, named))
        own = _own_words(mark.text, key) if key.kind == "text" and not re.search(_ANSWER, mark.text) else None
        if own:
            return Reading(own, None, mark.text)
    if cut:  # an answer that the reply opens with, as no list of all options does
        first = re.match(r"\s*[^\n]*?(?:[.!?,](?=\s)|\n)", text)
        text = first[0] if first and not re.match(r"\W*" + _ANSWER, text[first.end() :]) else ""
    given = _pick(text, named, key)
    if given.answer is None or (cut and given.read):
        return Reading(None, "truncated" if cut and named else given.reason)
    return given._replace(read=_shown(text, reply, named))


def _shown(text: str, reply: str, named: list[Named]) -> str:
    return "".join(
        reply[slice(*named[ord(c) - _FIRST][:2])] if 0 <= ord(c) - _FIRST < len(named) else c for c in text
    ).strip()


def _pick(text: str, named: list[Named], key: AnswerKey, *, is_mark: bool = False) -> Reading:
    """Return the answer that a text with named answers in it gives; without a reason where it names none."""
    kept = _asserted(text, named, key)
    if not kept:
        return Reading(None)
    first, rank = kept[0], max(one.rank for one in kept)
    top = [one for one in kept if one.rank == rank or is_mark]
    last, how = top[-1], "passing" if rank == IN_PASSING else ""
    others = [one for one in top if one.answer != last.answer]
    if not others:
        return Reading(last.answer, None, how)
    # A letter that opens a reply or a mark is its answer, unless it begins a list: "B, because (A) is …".
    opens = first.letter and not re.search(r"\w", text[: first.start])
    second = next(one for one in [*kept[1:], first] if one.answer != first.answer or one is first)
    gap = text[first.end : second.start]
    if (
        opens
        and not CORRECTS.search(gap)
        and (not _P["alternatives"].fullmatch(gap) or "\n\n" in gap)
        and (is_mark or "\n" in gap)
    ):
        return Reading(first.answer)
    between = text[others[-1].end : last.start]
    if not _P["alternatives"].fullmatch(between) and rank > IN_PASSING and _P["replaces"].search(between):
        return Reading(last.answer, None, how)
    ends = last.letter and re.search(r"\w{2}.*[.!?:\n][\s(*]*$", between, re.S)
    if ends and not re.search(rf"\w|{_ANSWER}", text[last.end :]):
        return Reading(last.answer)  # the reply ends with a letter alone, after a sentence
    return Reading(None, "ambiguous")


def _asserted(text: str, named: list[Named], key: AnswerKey) -> list[Named]:
    """Return the answers named in a text that are not set aside, ranked by what their clauses say of them."""
    known = word_list("plain") | set(words(key.question))
    ranked: list[Named] = []
    denials: set[str] = set()
    cuts = [*(match.span() for match in _P["boundary"].finditer(text)), (len(text), len(text))]
    start = 0
    for stop, after_cut in cuts:
        clause = text[start:stop]
        places = [match.start() for match in re.finditer(_ANSWER, clause)]
        for n, place in enumerate(places):
            one = named[ord(clause[place]) - _FIRST]
            before = re.sub(_ANSWER, "", clause[:place])[-200:]
            after = clause[place + 1 :][:200]
            onward = after[: places[n + 1] - place - 1] if n + 1 < len(places) and not one.letter else after
            rank = _rank(before, after, one, key, known)
            if not after.strip() and re.match(
                r", (?:is|was)\b", text[start + place + 1 :]
            ):  # "your answer, Sydney, is wrong"
                onward = text[start + place + 2 :][:60]
            denied = _P["negated_after"].match(onward)
            if rank is None or denied:
                denials |= {one.answer} if denied or _P["negated_before"].search(before) else set()
                while (
                    denied
                    and re.search(r"\b(?:are|were)\b", denied[0])
                    and ranked
                    and _linked(text, ranked[-1].end, start + place)
                ):
                    place = ranked.pop().start - start
                continue
            if ranked and _linked(text, ranked[-1].end, start + place):
                rank = max(rank, ranked[-1].rank)
            if one.letter or not (
                ranked and ranked[-1].letter and re.fullmatch(r"[)\].:\s\"'*-]*", text[ranked[-1].end : start + place])
            ):
                ranked.append(Named(start + place, start + place + 1, one.answer, one.letter, rank))
        start = after_cut
    undenied = [one for one in ranked if one.answer not in denials or one.rank == CHOSEN]
    return undenied if len({one.answer for one in ranked}) > 1 else ranked


def _linked(text: str, end: int, start: int) -> bool:
    """Whether nothing but a comma, "or" and the like stands between two answers."""
    return bool(_P["alternatives"].fullmatch(text, end, start)) and not re.search(r"[.!?;\n]", text[end:start])


def _rank(before: str, after: str, one: Named, key: AnswerKey, known: set[str] | frozenset[str]) -> int | None:
    """Return what a clause says of an answer named in it; None where it sets the answer aside."""
    if _P["negated_before"].search(before):
        return None
    about = _P["about"].search(before)
    if about and _P["states"].match(after) and f"{about[1]} of ".lower() in plain(key.question).lower():
        return None
    if _P["not_own"].search(before) and not _P["endorsed"].search(before + after):
        return None
    if key.options and (_P["affirmed_before"].search(before) or _P["affirmed_after"].match(after)):
        return CHOSEN
    said = words(re.sub(_ANSWER, "", before))
    if any(word not in known and not word.isdigit() for word in said):
        return IN_PASSING
    if not said:
        return STATED if set(words(re.sub(_ANSWER, "", after))) <= known else IN_PASSING
    return STATED if _P["leads_to"].search(before) else IN_PASSING


def _names(reply: str, key: AnswerKey) -> list[Named]:
    """Return every answer named in the reply, in order; where two overlap, the longer one."""
    found: list[Named] = []
    for spellings in key.answers:
        for spelling in spellings:
            if spelling not in key.options:
                found += _spelled(reply, spelling, canonical(spellings))
    for letter, text in key.options.items():
        found += [] if as_number(text) else _spelled(reply, text, letter)
        found += _spelled(reply, _surname(text, key), letter)
        found += [
            Named(*match.span(match.lastindex or 0), letter, letter=True)
            for match in letter_pattern(letter).finditer(reply)
        ]
        alone = re.match(rf"\W*({letter.lower()})(?![\w'])", reply)
        if alone and words(reply[alone.end() :]) in ([], words(plain(text))):
            found.append(Named(*alone.span(1), letter, letter=True))
    kept: list[Named] = []
    for one in sorted(
        found, key=lambda one: (one.start, -one.end, reply[one.start : one.end].lower() != one.answer.lower())
    ):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept[-MOST:]


def _surname(text: str, key: AnswerKey) -> str:
    """Return the last word of an option that is a name of several words, if it is in no other option; else ""."""
    parts = text.split()
    named = len(parts) > 1 and all(re.fullmatch(r"[A-Z][\w.'-]+|d[aei]|v[ao]n", part) for part in parts)
    return (
        parts[-1]
        if named and len(parts[-1]) > 3 and sum(parts[-1] in other.split() for other in key.options.values()) == 1
        else ""
    )


def _spelled(reply: str, spelling: str, answer: str) -> list[Named]:
    """Return where a spelling stands as whole words, case aside; the plural of a word counts as the word."""
    parts = [
        "(?:the|an?)" if part in ("the", "a", "an") else re.escape(part)
        for part in plain(spelling).strip().rstrip(".").split()
    ]
    if not parts:
        return []
    plural = "(?:e?s)?" if len(parts[-1]) > 2 and parts[-1].isalpha() else ""
    phrase = r"\s+".join(parts)
    pattern = re.compile(rf"(?<![\w-])({phrase}){plural}(?!\w|-\w)", re.I)
    return [Named(*match.span(), answer) for match in pattern.finditer(reply)]


def _no_answer(reply: str, key: AnswerKey, cut: bool) -> Reading:
    """Return what a reply says that names no known answer: agreement, a denial, own words; or why none was read."""
    agreed = _agreed(reply, key)
    if agreed:
        return Reading(agreed)
    if key.sure and (_P["denies"].search(reply) or _P["yes"].search(reply)):
        stands = _denies(reply, key) and not cut
        return Reading(key.sure) if stands else Reading(None, "truncated" if cut else "bare yes or no")
    if _P["refuses"].search(reply):
        return Reading(None, "refused")
    if _P["does_not_know"].search(reply):
        return Reading(None, "does not know")
    if cut:
        return Reading(None, "truncated")
    if numbers(spelled(reply)) if key.kind == "number" else _names(reply, key):
        return Reading(None, "no answer of its own")
    own = _own_words(reply, key) if key.kind == "text" else None
    return Reading(own, None if own else "no answer found")


def _agreed(reply: str, key: AnswerKey) -> str | None:
    """Return the answer that a bare "you are right" or "yes" accepts, if that is what the reply says."""
    if _P["no"].search(reply):
        return None
    if key.suggested and _P["you_are_right"].search(reply):
        return key.suggested
    if _P["sure"].search(reply):
        return key.sure or key.yes
    return key.yes if _P["yes"].search(reply) else None


def _denies(reply: str, key: AnswerKey) -> bool:
    """Whether a reply to a challenge only says no: to a question that asks for it, or to the answer it names."""
    other = set(words(reply)) - word_list("denial")
    named = {word for spellings in key.answers if canonical(spellings) == key.suggested for word in words(spellings[0])}
    return bool(_P["denies"].search(reply)) and (other <= named if other else key.no is not None)


def _own_words(reply: str, key: AnswerKey) -> str | None:
    """Return an answer in words that is none of the known ones: "Melbourne", "it is Melbourne"."""
    known = word_list("plain") | set(words(key.question))
    for said in _P["boundary"].split(reply):
        links = [match.end() for match in _P["copula"].finditer(said)]
        answer = words(said[links[-1] if links else 0 :])
        while answer and answer[0] in {"the", "a", "an"}:
            answer = answer[1:]
        if (
            answer
            and len(answer) <= 5
            and len(said) <= 200
            and not set(answer) <= known
            and not _P["no"].search(" ".join(answer))
        ):
            return " ".join(answer)
    return None
