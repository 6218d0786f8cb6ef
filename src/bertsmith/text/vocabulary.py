"""A WordPiece vocabulary from raw text, as BERT's: Chinese by the character, everything else by sub-words.

Words are counted after BERT's own normaliser and pre-tokeniser, for which a Han character is a word. Characters that occur often enough are taken
first, with a `##` form if they also occur inside a word; what room is left goes to sub-words, learnt by the trainer of the `tokenizers` library.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from bertsmith.core.errors import RecipeError
from bertsmith.text.tokenizer import LONE_SURROGATE

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUES = "##"
LONGEST_WORD = 100
"""Characters. BERT makes [UNK] of longer words, so nothing is learnt from them."""


def train_vocabulary(texts: Iterable[str], size: int, *, min_count: int = 2, lowercase: bool = True) -> list[str]:
    """Train a WordPiece vocabulary; the same texts, in whatever order, give the same one.

    Args:
        texts: Raw text, read once.
        size: The most tokens, special tokens included. Texts that hold little English may need fewer.
        min_count: How often a character, or a pair of sub-words that is to become one, must occur.
        lowercase: Lower-case the text and take accents off.

    Returns:
        The lines of a `vocab.txt`: [PAD] [UNK] [CLS] [SEP] [MASK], characters, their `##` forms, sub-words.

    Raises:
        RecipeError: The characters alone are more than `size`.

    Example:
        >>> train_vocabulary(["低 low", "低 low"], 20)
        ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'l', 'o', 'w', '低', '##o', '##w', 'lo', 'low']
    """
    words = _count_words(texts, lowercase=lowercase)
    characters = _frequent_characters(words, min_count)
    usable = {word: count for word, count in sorted(words.items()) if len(word) <= LONGEST_WORD and characters.issuperset(word)}
    inner = {CONTINUES + character for word in usable for character in word[1:]}
    fixed = [*SPECIAL_TOKENS, *sorted(characters), *sorted(inner)]
    if len(fixed) > size:
        summary = f"a vocabulary of {size:,} has no room for its {len(fixed):,} characters and special tokens"
        raise RecipeError(f"{summary}; ask for a larger one, or raise min_count (now {min_count})")
    return fixed + _subwords(usable, fixed, size, min_count)


def _count_words(texts: Iterable[str], *, lowercase: bool) -> Counter[str]:
    normalizer, splitter = normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer()
    chunks: Counter[str] = Counter()
    for text in texts:
        chunks.update(normalizer.normalize_str(LONE_SURROGATE.sub("\ufffd", text)).split())
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word, _ in splitter.pre_tokenize_str(chunk):
            words[word] += count
    return words


def _frequent_characters(words: Mapping[str, int], min_count: int) -> set[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return {character for character, count in counts.items() if count >= min_count}


def _subwords(words: Mapping[str, int], fixed: list[str], size: int, min_count: int) -> list[str]:
    """What the trainer adds to the tokens that are there from the start.

    They are given to it as special tokens: it numbers the others in the order in which a hash map yields them, and breaks ties by that number.
    """
    backend = tokenizers.Tokenizer(models.WordPiece({}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(vocab_size=size, min_frequency=min_count, special_tokens=list(fixed), show_progress=False)
    backend.train_from_iterator((" ".join([word] * count) for word, count in words.items() if len(word) > 1), trainer)
    vocabulary = backend.get_vocab()
    return sorted(vocabulary.keys() - set(fixed), key=vocabulary.__getitem__)
