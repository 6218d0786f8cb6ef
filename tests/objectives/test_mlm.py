"""Masked-language modelling: which tokens are hidden, what becomes of them, and what the loss sums over."""

from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.core.errors import DataError
from bertsmith.core.randomness import generator_at
from bertsmith.core.types import IGNORED, Example, Features
from bertsmith.models import create
from bertsmith.objectives.mlm import NGRAM_SHARES, MaskedLanguageModel, choose
from bertsmith.text.tokenizer import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHINESE = "使用语言模型来预测下一个词的概率，可以帮助我们理解自然语言技术"
ENGLISH = ["the", "##s", "play", "##ing", "##er", "cat", "dog", "un", "##believ", "##able", "a"]
TOKENIZER = Tokenizer.from_tokens([*SPECIAL, *sorted(set(CHINESE)), *ENGLISH, *"abcdefghij"])


def features(text: str, **options: Any) -> Features:
    [row] = MaskedLanguageModel(**options).encode([Example({"text": text})], TOKENIZER)
    return row


def drawn(objective: MaskedLanguageModel, row: Features, times: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """What becomes of a row in many epochs: its ids and its labels, one line an epoch."""
    batches = [objective.collate([row], [generator_at(seed, "mask", epoch, 0)], TOKENIZER) for epoch in range(times)]
    return np.stack([batch.input_ids[0].numpy() for batch in batches]), np.stack([batch.labels["mlm"][0].numpy() for batch in batches])


def assert_whole_words(hidden: np.ndarray, starts: np.ndarray) -> None:
    """Every token is hidden together with the one before it, unless a word begins there."""
    torn = (hidden[..., 1:] != hidden[..., :-1]) & ~starts[1:].astype(bool)
    assert not torn.any()


class TestTheChineseTextThatWordMaskingIsKnownToGetWrong:
    """31 characters without a space: taken for one word, they are all hidden, or none is."""

    def test_it_has_31_characters_of_which_many_begin_a_word(self):
        row = features(CHINESE)
        assert len(CHINESE) == len(row["input_ids"]) - 2 == 31
        assert 12 <= row["word_starts"][1:-1].sum() <= 24

    @pytest.mark.parametrize("unit", ["token", "word", "ngram"])
    def test_four_or_five_tokens_are_hidden_in_every_draw(self, unit: str):
        row = features(CHINESE, unit=unit)
        _, labels = drawn(MaskedLanguageModel(unit=unit), row, 400)
        hidden = labels != IGNORED
        assert set(hidden.sum(1).tolist()) <= {4, 5}
        assert_whole_words(hidden, row["word_starts"])
        assert (hidden.mean(0)[1:-1] > 0.03).all()  # every character gets its turn

    def test_only_real_words_are_hidden(self):
        words = {"语言", "模型", "预测", "概率", "帮助", "理解", "自然语言", "技术"}
        _, labels = drawn(MaskedLanguageModel(), features(CHINESE), 200)
        seen: set[str] = set()
        for line in labels != IGNORED:
            places = np.flatnonzero(line) - 1
            runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
            seen |= {"".join(CHINESE[place] for place in run) for run in runs}
        assert len(words & seen) >= 6


class TestWhatIsHidden:
    def test_special_tokens_never_are(self):
        row = features("the cat [SEP] the [MASK] dog [CLS] plays", rate=0.9)
        ids, labels = drawn(MaskedLanguageModel(rate=0.9), row, 100)
        special = np.isin(row["input_ids"], [TOKENIZER.cls_id, TOKENIZER.sep_id, TOKENIZER.mask_id])
        assert special.sum() == 5
        assert (labels[:, special] == IGNORED).all()
        assert (ids[:, special] == row["input_ids"][special]).all()

    def test_unknown_tokens_are_words_like_others(self):
        row = features("the 龘 cat", rate=0.5)
        _, labels = drawn(MaskedLanguageModel(rate=0.5), row, 100)
        assert (labels == TOKENIZER.unknown_id).any()

    def test_pieces_of_english_words_go_together(self):
        row = features("the unbelievable player plays a dog cats", rate=0.3)
        _, labels = drawn(MaskedLanguageModel(rate=0.3), row, 200)
        assert row["word_starts"].tolist() == [1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1]
        assert_whole_words(labels != IGNORED, row["word_starts"])

    def test_tokens_are_hidden_one_by_one_where_the_unit_is_the_token(self):
        row = features("unbelievable player plays", unit="token", rate=0.3)
        assert row["word_starts"].all()
        _, labels = drawn(MaskedLanguageModel(unit="token", rate=0.3), row, 200)
        single = (labels[:, 1:4] != IGNORED).sum(1)
        assert {1, 2} <= set(single.tolist())

    def test_at_least_one_token_is(self):
        _, labels = drawn(MaskedLanguageModel(rate=0.01), features("a cat"), 20)
        assert ((labels != IGNORED).sum(1) == 1).all()


@pytest.fixture(scope="module")
def fates() -> tuple[np.ndarray, np.ndarray]:
    """What stood at hidden places, and what stands there now."""
    row = features("the cat a dog " * 30)
    ids, labels = drawn(MaskedLanguageModel(rate=0.5), row, 400)
    hidden = labels != IGNORED
    assert (ids == row["input_ids"])[~hidden].all()
    assert (labels == row["input_ids"])[hidden].all()
    return labels[hidden], ids[hidden]


class TestWhatBecomesOfAHiddenToken:
    def test_80_percent_are_masked_10_percent_random_10_percent_kept(self, fates: tuple[np.ndarray, np.ndarray]):
        before, after = fates
        assert len(after) > 20_000
        kept_by_chance = 0.1 / (TOKENIZER.vocabulary_size - 5)
        assert (after == TOKENIZER.mask_id).mean() == pytest.approx(0.8, abs=0.01)
        assert (after == before).mean() == pytest.approx(0.1 + kept_by_chance, abs=0.01)

    def test_random_tokens_are_any_but_special_ones(self, fates: tuple[np.ndarray, np.ndarray]):
        before, after = fates
        random = after[(after != TOKENIZER.mask_id) & (after != before)]
        assert set(random.tolist()) == set(range(5, TOKENIZER.vocabulary_size))

    def test_the_fate_is_drawn_for_every_token_of_a_word(self):
        row = features("unbelievable " * 20)
        ids, labels = drawn(MaskedLanguageModel(rate=0.5), row, 50)
        masked = ((ids == TOKENIZER.mask_id) & (labels != IGNORED))[:, 1:-1].reshape(-1, 3).sum(1)
        assert {1, 2, 3} <= set(masked.tolist())


class TestWhenItIsDrawn:
    objective = MaskedLanguageModel()
    rows: Sequence[Features] = [features("the cat plays a dog " * times) for times in (1, 3, 5, 2)]

    def at(self, epoch: int, rows: Sequence[int], seed: int = 7) -> dict[int, tuple[list[int], list[int]]]:
        batch = self.objective.collate([self.rows[row] for row in rows], [generator_at(seed, "mask", epoch, row) for row in rows], TOKENIZER)
        sizes = [len(self.rows[row]["input_ids"]) for row in rows]
        return {
            row: (batch.input_ids[place, :size].tolist(), batch.labels["mlm"][place, :size].tolist())
            for place, (row, size) in enumerate(zip(rows, sizes, strict=True))
        }

    def test_every_epoch_hides_others(self):
        assert len({str(self.at(epoch, [2])[2]) for epoch in range(20)}) > 15

    def test_the_same_place_gives_the_same_whatever_the_neighbours(self):
        together, alone, reversed_order = self.at(3, [0, 1, 2, 3]), self.at(3, [2]), self.at(3, [3, 2, 0])
        assert together[2] == alone[2] == reversed_order[2]
        assert together[0] == reversed_order[0]

    def test_another_seed_gives_another_draw(self):
        assert self.at(0, [2], seed=7) != self.at(0, [2], seed=8)

    def test_the_features_stay_as_they_are(self):
        before = [row["input_ids"].copy() for row in self.rows]
        self.at(0, [0, 1, 2, 3])
        assert all((row["input_ids"] == ids).all() for row, ids in zip(self.rows, before, strict=True))


def words_of(lengths: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """[CLS], words of these many tokens, [SEP]."""
    starts = np.concatenate([[True], *([True] + [False] * (length - 1) for length in lengths), [True]])
    special = np.zeros(len(starts), bool)
    special[[0, -1]] = True
    return starts.astype(bool), special


class TestChoose:
    @settings(deadline=None)
    @given(st.lists(st.integers(1, 6), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 2**32), st.booleans())
    def test_whole_words_are_chosen_and_the_budget_is_met_as_near_as_words_allow(self, lengths: list[int], rate: float, seed: int, ngrams: bool):
        starts, special = words_of(lengths)
        hidden = choose(starts, special, rate, np.random.default_rng(seed), NGRAM_SHARES if ngrams else (1.0,))
        budget = max(1, round(rate * sum(lengths)))
        assert not hidden[special].any()
        assert_whole_words(hidden, starts)
        free = [length for length, taken in zip(lengths, hidden[np.flatnonzero(starts)[1:-1]], strict=True) if not taken]
        short = budget - int(hidden.sum())
        if short > 0:  # no word that is left comes nearer
            assert all(length - short >= short for length in free)
        if short < 0:  # what goes over is one word, and leaving it out would miss by more, or hide nothing
            assert -short < max(lengths)
            assert hidden.sum() - max(lengths) < budget

    @settings(deadline=None)
    @given(st.integers(1, 200), st.floats(0.01, 0.99), st.integers(0, 2**32), st.booleans())
    def test_the_budget_is_met_exactly_where_words_are_single_tokens(self, count: int, rate: float, seed: int, ngrams: bool):
        starts, special = words_of([1] * count)
        hidden = choose(starts, special, rate, np.random.default_rng(seed), NGRAM_SHARES if ngrams else (1.0,))
        assert hidden.sum() == max(1, round(rate * count))

    def test_a_word_that_goes_over_is_taken_if_it_misses_by_less(self):
        starts, special = words_of([3, 3, 3])
        chosen = [choose(starts, special, rate, np.random.default_rng(0)).sum() for rate in (0.1, 0.5, 0.57, 0.95)]
        assert chosen == [3, 3, 6, 9]  # budgets 1, 4 (a second word would miss by 2), 5 (by 1) and 9

    def test_nothing_is_chosen_where_there_is_nothing_to_hide(self):
        assert not choose(np.ones(2, bool), np.ones(2, bool), 0.5, np.random.default_rng(0)).any()

    def test_a_special_token_ends_a_word(self):
        starts = np.array([1, 1, 0, 0, 0, 0, 1], bool)  # the word goes on behind a special token, as a torn one may
        special = np.array([1, 0, 0, 1, 0, 0, 1], bool)
        for seed in range(20):
            assert choose(starts, special, 0.5, np.random.default_rng(seed)).nonzero()[0].tolist() in ([1, 2], [4, 5])

    def test_every_word_is_as_likely_as_every_other(self):
        starts, special = words_of([1] * 20)
        counts = sum(choose(starts, special, 0.15, np.random.default_rng(seed)).astype(int) for seed in range(1000))
        assert counts[1:-1] / 1000 == pytest.approx(np.full(20, 0.15), abs=0.05)

    def test_runs_of_words_have_the_published_shares(self):
        starts, special = words_of([1] * 4000)
        runs: list[int] = []
        for seed in range(120):
            edges = np.flatnonzero(np.diff(choose(starts, special, 0.01, np.random.default_rng(seed), NGRAM_SHARES).astype(int)))
            runs += [end - begin for begin, end in zip(edges[::2], edges[1::2], strict=True)]
        shares = np.bincount(runs, minlength=5)[1:5] / len(runs)
        assert shares == pytest.approx(np.array(NGRAM_SHARES), abs=0.04)

    def test_runs_of_words_do_not_cross_a_special_token(self):
        starts, special = np.ones(9, bool), np.array([1, 0, 0, 1, 0, 0, 1, 0, 1], bool)
        for seed in range(50):
            hidden = choose(starts, special, 0.4, np.random.default_rng(seed), (0.0, 0.0, 0.0, 1.0))
            assert hidden.sum() == 2
            assert not hidden[special].any()


def examples(lines: Iterable[str], **more: Any) -> list[Example]:
    return [Example({"text": line, **more}, "corpus.txt", number) for number, line in enumerate(lines, 1)]


def ids_of(lines: Iterable[str]) -> list[int]:
    return [number for line in lines for number in TOKENIZER.pieces(line).input_ids.tolist()]


WORDS = st.sampled_from(["the", "cats", "unbelievable", "plays", "a", "语言", "模型", "概率", "龘", "，"])
LINES = st.lists(st.lists(WORDS, max_size=12).map(" ".join), max_size=12)


class TestSequences:
    @settings(deadline=None, max_examples=40)
    @given(LINES, st.integers(8, 24), st.sampled_from(["token", "word", "ngram"]))
    def test_no_token_is_lost_or_repeated_and_no_word_is_torn(self, lines: list[str], max_length: int, unit: Any):
        rows = list(MaskedLanguageModel(unit=unit, max_length=max_length).encode(examples(lines), TOKENIZER))
        inside = [number for row in rows for number in row["input_ids"][1:-1].tolist()]
        assert inside == ids_of(lines)
        for row in rows:
            assert 3 <= len(row["input_ids"]) <= max_length
            assert (row["input_ids"][0], row["input_ids"][-1]) == (TOKENIZER.cls_id, TOKENIZER.sep_id)
            assert len(row["word_starts"]) == len(row["input_ids"])
            assert row["word_starts"][1]
            assert unit == "token" or not TOKENIZER.token(int(row["input_ids"][1])).startswith("##")

    @settings(deadline=None, max_examples=15)
    @given(LINES, LINES)
    def test_documents_are_not_mixed(self, first: list[str], second: list[str]):
        both = [*examples(first, document=1), *examples(second, document=2)]
        separately = [*MaskedLanguageModel().encode(examples(first), TOKENIZER), *MaskedLanguageModel().encode(examples(second), TOKENIZER)]
        assert [row["input_ids"].tolist() for row in MaskedLanguageModel().encode(both, TOKENIZER)] == [
            row["input_ids"].tolist() for row in separately
        ]

    def test_files_are_not_mixed(self):
        rows = MaskedLanguageModel().encode([Example({"text": "a cat"}, "a.txt", 1), Example({"text": "a dog"}, "b.txt", 1)], TOKENIZER)
        assert len(list(rows)) == 2

    def test_lines_are_joined_until_a_sequence_is_full(self):
        rows = list(MaskedLanguageModel(max_length=10).encode(examples(["the cat", "a dog", "the cat", "a dog", "the cat"]), TOKENIZER))
        assert [len(row["input_ids"]) for row in rows] == [10, 4]

    def test_a_line_is_not_cut_where_it_can_stand_whole(self):
        rows = list(MaskedLanguageModel(max_length=10).encode(examples(["the cat a", "the cat a dog the cat"]), TOKENIZER))
        assert [len(row["input_ids"]) for row in rows] == [5, 8]

    def test_a_word_that_is_longer_than_the_room_is_cut(self):
        long = "cat" + "s" * 20
        rows = list(MaskedLanguageModel(max_length=8, segmenter="characters").encode(examples([f"the {long} dog"]), TOKENIZER))
        pieces = ids_of([f"the {long} dog"])
        assert [number for row in rows for number in row["input_ids"][1:-1].tolist()] == pieces
        assert all(len(row["input_ids"]) <= 8 for row in rows)

    def test_a_cut_falls_between_words(self):
        rows = list(MaskedLanguageModel(max_length=9).encode(examples(["unbelievable " * 6]), TOKENIZER))
        assert [len(row["input_ids"]) for row in rows] == [8, 8, 8]

    def test_encoding_is_the_same_every_time_and_reads_an_iterator_once(self):
        lines = examples([CHINESE, "the cats", ""])
        first, second = (list(MaskedLanguageModel().encode(iter(lines), TOKENIZER)) for _ in range(2))
        assert all((a[key] == b[key]).all() for a, b in zip(first, second, strict=True) for key in a)
        assert first[0]["input_ids"].dtype == np.int32

    def test_lines_without_text_are_listed(self):
        rows = [Example({"text": "a cat"}, "x.jsonl", 1), Example({"text": None}, "x.jsonl", 2), Example({"title": "a"}, "x.jsonl", 9)]
        with pytest.raises(DataError) as caught:
            list(MaskedLanguageModel().encode(rows, TOKENIZER))
        assert caught.value.problems == ("x.jsonl:2: no text", "x.jsonl:9: no text")


class TestLoss:
    model = create("bert", TOKENIZER, {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}, {"mlm": 0}).model
    objective = MaskedLanguageModel(rate=0.3)
    rows: Sequence[Features] = [features("the cat plays a dog " * times) for times in (1, 3, 2)]
    batch = objective.collate(rows, [generator_at(1, row) for row in range(3)], TOKENIZER)

    def test_it_is_the_sum_over_hidden_places_of_minus_the_log_of_their_tokens_share(self):
        with torch.no_grad():
            states = self.model(self.batch).padded()
            scores = self.model.heads["mlm"](states.flatten(0, 1)).view(*states.shape[:2], -1)
        expected = 0.0
        for scores_of_row, labels in zip(scores, self.batch.labels["mlm"], strict=True):
            for line, label in zip(scores_of_row.tolist(), labels.tolist(), strict=True):
                if label != IGNORED:
                    expected += float(np.log(np.exp(np.array(line)).sum()) - line[label])
        losses = self.objective.loss(self.model, self.batch)
        assert list(losses) == ["mlm"]
        assert losses["mlm"].item() == pytest.approx(expected, rel=1e-5)

    def test_it_counts_what_it_sums(self):
        assert self.batch.counts == {"mlm": int((self.batch.labels["mlm"] != IGNORED).sum())}

    def test_only_hidden_places_are_projected_to_the_vocabulary(self, monkeypatch: pytest.MonkeyPatch):
        seen: list[int] = []
        norm = self.model.heads["mlm"].get_submodule("norm")
        handle = norm.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
        self.objective.loss(self.model, self.batch)
        handle.remove()
        assert seen == [self.batch.counts["mlm"]]


@pytest.mark.parametrize("options", [{"rate": 0.0}, {"rate": 1.0}, {"rate": -0.1}, {"max_length": 7}])
def test_impossible_options_are_refused_by_name(options: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(options))):
        MaskedLanguageModel(**options)


def test_words_that_follow_one_another_are_told_apart():
    starts = features("语言模型", unit="word")["word_starts"]
    assert all(begin < end for begin, end in pairwise(np.flatnonzero(starts)))
    assert features("语言模型", unit="word", segmenter="characters")["word_starts"].all()
    assert features("语言模型", unit="word", segmenter="spaces")["word_starts"].tolist() == [1, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("file", "vocabulary"),
    [
        ("corpora/cluecorpussmall_sample.txt", "google_zh_vocab.txt"),
        ("sst2/train.txt", "google_uncased_en_vocab.txt"),
        ("cmrc2018/dev.json", "google_zh_vocab.txt"),
    ],
)
@pytest.mark.parametrize("unit", ["token", "word", "ngram"])
def test_on_real_text_the_share_is_met_and_no_word_is_torn(file: str, vocabulary: str, unit: Any, shared_data: Path):
    tokenizer = Tokenizer.from_vocabulary(shared_data / "vocab" / vocabulary)
    with (shared_data / file).open(encoding="utf-8") as lines:
        texts = [line[:400] for line in islice(lines, 150) if line.strip()]
    objective = MaskedLanguageModel(unit=unit)
    rows = list(objective.encode(examples(texts), tokenizer))
    total, hidden_tokens = 0, 0
    for place, row in enumerate(rows):
        hidden = objective.collate([row], [generator_at(3, place)], tokenizer).labels["mlm"][0].numpy() != IGNORED
        maskable = len(row["input_ids"]) - 2
        assert not hidden[[0, -1]].any()
        assert_whole_words(hidden, row["word_starts"])
        longest = np.diff(np.flatnonzero(row["word_starts"])).max()
        assert abs(hidden.sum() - max(1, round(0.15 * maskable))) <= max(1, longest / 2)
        total, hidden_tokens = total + maskable, hidden_tokens + int(hidden.sum())
    assert len(rows) >= 5
    assert hidden_tokens / total == pytest.approx(0.15, abs=0.005)
