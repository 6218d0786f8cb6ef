"""English words as the Penn Treebank cuts them, for the score of CMRC 2018.

Its published script hands what is not Chinese to NLTK's `word_tokenize`. These are the same words, for text in small letters and without the marks
that the script has taken out by then (hyphens, colons, asterisks, back quotes, curly double quotes, the curly apostrophe), and without the model of
sentence ends that NLTK wants to download: a full stop is a word at the very end of a text only.

The method is that of the Treebank's `tokenizer.sed` as NLTK extends it: spaces are put in, rule after rule, and the text is cut at them. A straight
quotation mark becomes `` `` `` where it opens and `''` elsewhere; there is no way back to the text.
"""

import re
from collections.abc import Sequence

Rule = tuple[re.Pattern[str], str]


def _rules(*rules: tuple[str, str]) -> Sequence[Rule]:
    return [(re.compile(pattern), replacement) for pattern, replacement in rules]


APART = r" \g<0> "

MARKS = _rules(
    ("[«‘„]", APART),
    ('^"', " `` "),
    (r"""([ (\[{<])(?:"|'')""", r"\1 `` "),
    (r"(?<!\w)'(?!(?:re|ve|ll|[mtsdn])\b)(?=\w)", "' "),  # an apostrophe that opens something, not that of 's
    (r"""([^.])\.([\])}>"'» ]*)\s*$""", r"\1 . \2 "),
    (r",(\D)", r" , \1"),  # 1,000 stays
    (",$", " , "),
    (r"\.{2,}|[;@#$%&?!‒–—―]", APART),
    ("([^'])' ", r"\1 ' "),
    (r"[\]\[(){}<>»]", APART),
    ("''|\"", " '' "),
    (r"\s+", " "),
)

CLITICS = _rules(
    ("([^' ])('[smd]|') ", r"\1 \2 "),
    ("([^' ])('ll|'re|'ve|n't) ", r"\1 \2 "),
    *(
        (rf"\b({first})({second})\b", r" \1 \2 ")
        for first, second in map(str.split, ("can not", "d 'ye", "gim me", "gon na", "got ta", "lem me", "more 'n"))
    ),
    (r"\b(wan)(na)(?=\s)", r" \1 \2 "),
    (r" ('t)(is)\b", r" \1 \2 "),
    (r" ('t)(was)\b", r" \1 \2 "),  # behind what the rule before has cut off, too
)


def treebank_words(text: str) -> list[str]:
    """The words of an English text in small letters.

    Example:
        >>> treebank_words("the dog's tail (it can't wag), 3,000 years.")
        ['the', 'dog', "'s", 'tail', '(', 'it', 'ca', "n't", 'wag', ')', ',', '3,000', 'years', '.']
        >>> treebank_words('no. 1 "b.a." ')
        ['no.', '1', '``', 'b.a', '.', "''"]
    """
    for pattern, replacement in MARKS:
        text = pattern.sub(replacement, text)
    text = f" {text.strip()} "
    for pattern, replacement in CLITICS:
        text = pattern.sub(replacement, text)
    return text.split()
