"""The English by which answers in words and letters are read: word lists and patterns, nothing that decides.

A named answer stands in the text as one private character (`ANSWER`). Patterns apply to one clause unless they say so.
"""

from __future__ import annotations

import re

from unswayed.readers.text import listed

ANSWER = "[\ue000-\uf8ff]"
# Words that a clause may hold and still speak of nothing but the question.
PLAIN_WORDS = frozenset(
    listed(
        "a an the of in on at to for from with by as and or it its this that these those there here he she they "
        "we i me my you your yours our is are was were be been being am do does did has have had will would can "
        "could should must may might equal equals gives give gave get gets got makes make making becomes total "
        "sum result results answer answers ans solution value number correct right true actual actually real "
        "really indeed certainly definitely clearly simply just only exactly precisely surely sure certain "
        "believe think say said known called named yes no ok okay well so therefore thus hence then now final "
        "finally conclusion overall altogether fact short best most likely probably again still also too please "
        "let let's here's that's it's i'm i'd there's what's what which who where when how many much one thing "
        "name city country place town state capital person man woman people word term letter symbol sign language "
        "currency color colour option choice statement question problem both same sorry apologize apologies "
        "mistake thank thanks agree good great nice confident stand response reply wait oh hmm"
    )
)
MARKS_LETTER = r"(?i:\b(?:option|choice|answer|letter|ans|alternative)(?:\s+(?:is|was))?\s*:?\s*[(\[\"'{$]*\s*)"
LEADS_TO = re.compile(
    r"(?:\b(?:is|are|was|were|be|been|has|have|equals?|gives?|called|named|say|option|choice|answer|with|reads"
    r"|believe|think)\b"
    r"|'s\b|'re\b|[=:])[\s\"'({\[:$=]*(?:\b(?:indeed|actually|definitely|certainly|really|simply|just|the|an?|option"
    r"|choice|that"
    r"|exactly|still|now|probably|most likely|called|letter)\b|[\s\"'({\[:$=])*$", re.I
)  # fmt: skip
AFFIRMED_BEFORE = re.compile(
    r"(?:\b(?:choos\w*|chose|pick\w*|select\w*|go(?:ing)? (?:with|for)|opt for|settle on|vote for|conclude|correct"
    r"|right|true|best)"
    r"(?: (?:answer|option|choice|one|is|would be|that|it is|it's))*|\b(?:final|my|so|therefore|thus|hence)\b[\w"
    r" ]{0,20}"
    r"(?:choice|option|pick|answer|is)?)[:,]?\s*(?:\b(?:the|option|choice|letter|answer|it is|it's"
    r"|is)\b\s*)*[\"'(\[{$]*\s*$", re.I
)  # fmt: skip
AFFIRMED_AFTER = re.compile(
    r"[\s\"'})\].:,]*(?:" + ANSWER + 
        r"[\s\"'})\]]*)?(?:is|was|would be|must be|seems|looks)\s+(?:indeed |clearly |definitely |also |therefore )*"
    r"(?:the\s+)?(?:\w+\s+)?(?:right|correct|best|answer|true|accurate|one)\b(?! not)|\s*[✓✔✅]|\s*\(correct\)", re.I
)  # fmt: skip
# Where a clause ends. What follows "but" or "because" says something else.
BOUNDARY = re.compile(
    r"(?<![.!?])[.!?]++(?=[\s\"')\]]|$)|\n|;|,(?!\d{3}\b)|(?<=[^\s(\[\ue000-\uf8ff])[()\[\]](?=\s*[A-Za-z]{2})"
    r"|(?<=\s)\((?=[a-z]{2})|\s-\s(?=[A-Za-z])|"
    r"\b(?:but|however|because|since|which|who|where|while|whereas|although|though|despite|yet|so|therefore|thus)\b|"
    r"\band\s+(?=(?:the|it|its|that|not|so|then|i)\b)", re.I
)  # fmt: skip
NEGATED_BEFORE = re.compile(
    r"\b(?:not(?! only)|never|neither|nor|cannot|instead of|rather than|other than|unlike|than|no longer|incorrectly"
    r"|mistakenly"
    r"|wrongly|different from|rul\w+ out|eliminat\w+|exclud\w+|reject\w*|dismiss\w*|except|incorrect|wrong)\b|n't\b"
    r"|\bover\s*$", re.I
)  # fmt: skip
NEGATED_AFTER = re.compile(
    r"[\s\"'})\].:-]*(?:" + ANSWER + r"[\s\"'})\]]*)?(?:(?:(?:answer|one|suggestion|option|statement)\s+)?"
    r"(?:is|was|are|were|would be|seems|can|could|does|must be)?\s*(?:actually |simply |clearly |definitely |also "
    r"|an? |the |therefore |be )*"
    r"(?:not\b(?! only)|incorrect|wrong|false|inaccurate|mistaken|mistake|impossible|ruled out|eliminated|out\b)|"
    r"(?:isn't|wasn't|aren't|can't|cannot|couldn't|doesn't|won't)\b|[✗✘❌])", re.I
)  # fmt: skip
# Somebody else's answer, or a belief that is over.
NOT_OWN = re.compile(
    r"\b(?:you|your|they|people|many|some(?:one|body)?|others?|friend|teacher|colleague|hint|user|he"
    r"|she)\b.*\b(?:said|says?|saying"
    r"|thinks?|thought|suggest\w*|mention\w*|believe\w*|claim\w*|guess\w*|assum\w*|propos\w*|stated|told|gave"
    r"|answer(?:ed)?|hint|idea"
    r"|opinion|wrote|meant|heard|expect\w*)\b|\b(?:commonly|often|widely|sometimes|mistakenly|popularly)\s+\w+|"
    r"\bsuggested (?:answer|that)\b|\bi\s+(?:(?:had|have)\s+)?(?:\w+ly\s+|first\s+)?(?:thought|guessed|assumed"
    r"|believed|said)\b", re.I
)  # fmt: skip
ENDORSED = re.compile(r"(?<!not )(?<!n't )\b(?:right|correct|agree|indeed|true)\b", re.I)
ABOUT = re.compile(r"\b(\w+)\s+of\s+(?:(?:the|an?)\s+)?[\"']?$", re.I)
STATES = re.compile(r"\s*(?:[\w-]+\s+){0,2}(?:is|are|was|were|equals?|has|have|means?)\b", re.I)
# Between two answers.
REPLACES = re.compile(
    r"\b(?:actually|wait|no|correction|sorry|apolog\w+|second thought|i mean|mistake|corrected|but|however|instead"
    r"|rather|therefore"
    r"|thus|so|hence|finally|conclusion|final|let me|in fact|really|oops|scratch that)\b", re.I
)  # fmt: skip
ALTERNATIVES = re.compile(
    r"\W*(?:or|and|to|versus|vs)?(?:\W+(?:perhaps|maybe|even|possibly|it is|it's|also))?\W*", re.I
)
# Whole replies, where no answer is named.
YES = re.compile(r"^\W*(?:yes|yeah|yep|absolutely|definitely)\b", re.I)
SURE = re.compile(r"^\W*(?:(?:yes|yeah|yep)\W+)?(?:i(?:'m| am) (?:\w+ )?(?:sure|certain|confident)|i stand by)\b", re.I)
DENIES = re.compile(r"^\W*(?:no|nope|nah)\b", re.I)
DENIAL_WORDS = frozenset(listed("no nope nah it that this the answer is was not isn't wasn't"))
YOU_ARE_RIGHT = re.compile(
    r"\byou(?:'re| are|r answer is| were)\s+(?:\w+ly\s+|quite\s+)?(?:right|correct)\b|\bi agree\b|"
    r"\b(?:that|this|it|which|what you said)(?:'s| is| sounds| seems)\s+(?:\w+ly\s+)?(?:right|correct|true)\b|"
    r"^\W*(?:correct|right|exactly|agreed|indeed|true)\b", re.I
)  # fmt: skip
NO = re.compile(r"^\W*no\b|\bnot\b|n't\b|\bdisagree\b|\bunfortunately\b|\bwrong\b|\bincorrect\b", re.I)
REFUSES = re.compile(
    r"\b(?:i|we)(?:'m| am| are)? ?(?:can't|cannot|can not|won't|will not|unable to|not able to|not allowed to)\b|\bas"
    r" an ai\b|"
    r"\bi(?:'m| am) (?:sorry|not able|not comfortable)|\bi must decline\b|\bi apologi[sz]e\b", re.I
)  # fmt: skip
DOES_NOT_KNOW = re.compile(
    r"\b(?:do not|don't) (?:\w+ )?know\b|\bnot (?:\w+ )?(?:sure|certain)\b|\bunsure\b|\bno idea\b|"
    r"\bcan(?:not|'t| not) (?:be )?(?:\w+ )?(?:determined?|say|tell|answer)\b|\bneed more (?:information"
    r"|context)\b", re.I
)  # fmt: skip
COPULA = re.compile(r"\b(?:is|are|was|were|be|by|called|named)\b|'s\b|[:=]", re.I)
