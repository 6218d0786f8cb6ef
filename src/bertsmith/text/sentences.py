"""Sentences of Chinese and English text, without losing a character.

Chinese marks always end a sentence, with the closing quotes and brackets after them, and so does a line. An English mark ends one where white space
or Chinese follows, unless it is a full stop that belongs to an abbreviation, an initial or a number.
"""

import re
from itertools import pairwise

CLOSING = "”’」』）】》〉')\\]}"
CANDIDATE = re.compile(
    rf"(?P<chinese>[。！？；…｡][。！？；…｡!?.]*)[{CLOSING}]*(?P<quote>\"?)\s*"
    rf"|(?P<english>[.!?]+)(?P<closing>[{CLOSING}\"]*)(?P<blank>\s*)"
    r"|\n\s*"
)
HAN = re.compile("[\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
LAST_WORD = re.compile(r"[^\W_](?:[^\W_]|[.'’-](?=[^\W_]))*$")
LONGEST_WORD = 40

NUMBERED = frozenset("no nos fig figs vol pp ch sec art".split())
"""What a full stop belongs to if a number follows; ordinary words otherwise."""

NEVER_LAST = frozenset(
    "mr mrs ms dr prof st rev hon gen col maj capt lt sgt gov sen rep pres messrs mt dept vs e.g i.e cf al approx ed eds est u.s u.k u.n e.u d.c "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat".split()
)
"""What a full stop belongs to."""

SELDOM_LAST = frozenset("etc inc ltd co corp jr sr a.m p.m ph.d bros".split())
"""What a full stop belongs to unless a capital letter follows."""


def split_sentences(text: str) -> list[str]:
    r"""Cut a text into sentences; white space stays with the sentence before it, so that the pieces put together are the text.

    Args:
        text: Chinese, English or both; a new line always ends a sentence.

    Returns:
        The sentences, none of them empty. A text without an end is one sentence, an empty text none.

    Example:
        >>> split_sentences("他说：“好！”然后走了……她没有动。")
        ['他说：“好！”', '然后走了……', '她没有动。']
        >>> split_sentences("Dr. Li paid $3.50. Why? Nobody knows.")
        ['Dr. Li paid $3.50. ', 'Why? ', 'Nobody knows.']
    """
    places, quotes, counted = [0], 0, 0
    for match in CANDIDATE.finditer(text):
        quotes, counted = quotes + text.count('"', counted, match.start()), match.start()
        if match["quote"] and quotes % 2 == 0:
            places.append(match.start("quote"))  # a straight quote that opens belongs to what follows
        elif not match["english"] or _ends(text, match):
            places.append(match.end())
        if "\n" in match[0]:
            quotes, counted = 0, match.end()
    if places[-1] < len(text):
        places.append(len(text))
    return [text[start:end] for start, end in pairwise(places)]


def _ends(text: str, match: re.Match[str]) -> bool:
    """Whether English marks end a sentence here."""
    marks, following = match["english"], text[match.end() : match.end() + 1]
    if not following or "\n" in match["blank"]:
        return True
    before = text[max(0, match.start() - LONGEST_WORD) : match.start()]
    if not match["blank"]:  # 不错.下次再来, but not 1.接电源
        return bool(HAN.match(following)) and (marks[-1] in "!?" or not before[-1:].isascii())
    if following.islower() and (match["closing"] or marks.startswith("..")):  # "Why?" he asked... twice
        return False
    return marks != "." or not _belongs(before, following)


def _belongs(before: str, following: str) -> bool:
    """Whether a full stop belongs to the word before it."""
    found = LAST_WORD.search(before)
    if found is None:
        return False
    word = found[0].lower()
    if len(word) == 1:
        return found[0].isupper() and word != "i" and following.isupper()  # an initial
    if word in NUMBERED:
        return following.isdigit()
    return word in NEVER_LAST or (word in SELDOM_LAST and not following.isupper())
