"""Generation against `transformers.generate`: the same tokens and scores, whatever the options; drawing by statistics."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from transformers import GenerationConfig, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from bertsmith.core.errors import RecipeError
from bertsmith.core.precision import autocast
from bertsmith.core.types import Batch
from bertsmith.generation import Generation, Written, generate, published
from bertsmith.generation.beams import BLOCK, largest
from bertsmith.generation.rules import narrowed
from bertsmith.generation.running import Parts
from bertsmith.inference.fused_decoder import FusedDecoder, FusedHead, decoder_obstacle, fused
from bertsmith.models import Model
from tests.parity.peers import VOCABULARY, Pair, pair

FAMILIES = ("gpt2", "bart", "pegasus", "marian")
PADDING, END = 0, 3
POSITIONS = 40


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    found = {family: pair(family, "lm", tmp_path_factory.mktemp(family), max_position_embeddings=POSITIONS) for family in FAMILIES}
    for both in found.values():
        start = both.peer.generation_config.decoder_start_token_id
        both.peer.generation_config = GenerationConfig(pad_token_id=PADDING, decoder_start_token_id=start)
    return found


def prompts(lengths: list[int], side: str = "left", seed: int = 0) -> Batch:
    width = max(lengths)
    places, sizes = torch.arange(width).expand(len(lengths), width), torch.tensor(lengths)[:, None]
    mask = (places < sizes if side == "right" else places >= width - sizes).long()
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(1, len(VOCABULARY), (length,), generator=generator) for length in lengths]
    input_ids = torch.zeros_like(mask)
    input_ids[mask.bool()] = torch.cat(rows)
    return Batch(input_ids, mask, torch.zeros_like(mask))


def theirs(both: Pair, batch: Batch, options: Generation) -> list[list[tuple[list[int], float | None]]]:
    """What `transformers` writes, without the prompt and what fills up behind the end."""
    names = {
        "max_new_tokens": "max_new_tokens", "min_new_tokens": "min_new_tokens", "eos_token_id": "eos_token_id", "beams": "num_beams",
        "no_repeat_ngram": "no_repeat_ngram_size", "repetition_penalty": "repetition_penalty", "forced_bos_token_id": "forced_bos_token_id",
        "forced_eos_token_id": "forced_eos_token_id", "num_return_sequences": "num_return_sequences", "renormalize": "renormalize_logits",
    }  # fmt: skip
    values: dict[str, Any] = {name: getattr(options, ours) for ours, name in names.items()}
    if options.beams > 1:
        values |= {"length_penalty": options.length_penalty, "early_stopping": options.early_stopping}
    if options.suppressed:
        values["bad_words_ids"] = [[token] for token in options.suppressed]
    config = GenerationConfig(**values, do_sample=False, return_dict_in_generate=True, output_scores=True)
    found = both.peer.generate(batch.input_ids, attention_mask=batch.attention_mask, generation_config=config)
    first = 1 if both.family != "gpt2" else batch.input_ids.shape[1]
    texts = [until(row, options.eos_token_id) for row in found.sequences[:, first:].tolist()]
    scores = found.sequences_scores.tolist() if options.beams > 1 else [None] * len(texts)
    both_of = list(zip(texts, scores, strict=True))
    rows = [both_of[start : start + options.num_return_sequences] for start in range(0, len(both_of), options.num_return_sequences)]
    # Where forced tokens leave fewer texts than were asked for, it fills up with what has a score of about minus a thousand million.
    return [[(tokens, score) for tokens, score in row if score is None or score > -1e6] for row in rows]


def until(tokens: list[int], end: int | None) -> list[int]:
    return tokens[: tokens.index(end) + 1] if end in tokens else tokens


def tokens_of(texts: list[list[Written]]) -> list[list[list[int]]]:
    return [[text.input_ids.tolist() for text in row] for row in texts]


@st.composite
def values_of(draw: st.DrawFn) -> dict[str, Any]:
    """Options; not yet a `Generation`, because what checks types in the tests draws numbers of its own while it is made."""
    most, beams = draw(st.integers(2, 12)), draw(st.integers(1, 5))
    return {
        "max_new_tokens": most,
        "min_new_tokens": draw(st.integers(0, most)),
        "eos_token_id": draw(st.sampled_from([END, END, END, None])),
        "beams": beams,
        "length_penalty": draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, -1.0])) if beams > 1 else 1.0,
        "early_stopping": draw(st.sampled_from([False, True, "never"])) if beams > 1 else False,
        "no_repeat_ngram": draw(st.integers(0, 3)),
        "repetition_penalty": draw(st.sampled_from([1.0, 1.0, 1.4, 0.8])),
        "forced_eos_token_id": draw(st.sampled_from([None, END])),
        # In transformers padding is a token like others for no_repeat_ngram_size; where it is never written, that makes no difference.
        "suppressed": (PADDING, *draw(st.sets(st.integers(4, len(VOCABULARY) - 1), max_size=3))),
        "num_return_sequences": draw(st.integers(1, beams)),
        "renormalize": draw(st.booleans()),
    }


lengths_of = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25, derandomize=True)
@given(
    values=values_of(), lengths=lengths_of, seed=st.integers(0, 1000), side=st.sampled_from(["left", "right"]), first=st.sampled_from([None, None, 5])
)
def test_tokens_and_scores_are_those_of_transformers(
    family: str, pairs: dict[str, Pair], values: dict[str, Any], lengths: list[int], seed: int, side: str, first: int | None
):
    alone = family == "gpt2"  # a decoder alone, whose prompts transformers wants to be padded on the left
    options = Generation(**values, forced_bos_token_id=None if alone else first)
    expected = theirs(pairs[family], prompts(lengths, "left" if alone else side, seed), options)
    ours = generate(pairs[family].checkpoint.model, prompts(lengths, side, seed), options)
    for row, wanted in zip(ours, expected, strict=True):
        for text, (tokens, score) in zip(row, wanted, strict=True):
            assert score is None or text.score == pytest.approx(score, rel=1e-4, abs=1e-4)
            tied = score is not None and abs(text.score - score) < TIE
            assert text.input_ids.tolist() == tokens or tied


TIE = 1e-5
"""Beams whose scores are nearer than this are told apart by rounding alone, and either may come first."""


@pytest.mark.parametrize("seed", range(4))
def test_hundreds_of_prompts(seed: int, tmp_path: Path):
    both = pair("gpt2", "lm", tmp_path, max_position_embeddings=POSITIONS, n_layer=1 + seed % 3, activation_function=("relu", "gelu_new")[seed % 2])
    both.peer.generation_config = GenerationConfig(pad_token_id=PADDING)
    lengths = np.random.default_rng(seed).integers(1, 16, 120).tolist()
    options = Generation(max_new_tokens=15, beams=(4, 1, 3, 2)[seed], eos_token_id=END, suppressed=(PADDING,), no_repeat_ngram=seed)
    expected = [[tokens for tokens, _ in row] for row in theirs(both, prompts(lengths), options)]
    assert tokens_of(generate(both.checkpoint.model, prompts(lengths, "right"), options)) == expected
    assert tokens_of(generate(fused(Parts.of(both.checkpoint.model)), prompts(lengths, "left"), options)) == expected


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=8, derandomize=True)
@given(values=values_of(), lengths=lengths_of, seed=st.integers(0, 1000))
def test_a_fused_model_writes_the_same(family: str, pairs: dict[str, Pair], values: dict[str, Any], lengths: list[int], seed: int):
    options = Generation(**values)
    plain = Parts.of(pairs[family].checkpoint.model)
    parts, batch = fused(plain), prompts(lengths, "right", seed)
    assert isinstance(parts.decoder, FusedDecoder)
    assert isinstance(parts.head, FusedHead)
    ours, expected = generate(parts, batch, options), generate(plain, batch, options)
    assert tokens_of(ours) == tokens_of(expected)
    for row, wanted in zip(ours, expected, strict=True):
        assert [text.score for text in row] == pytest.approx([text.score for text in wanted], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [Generation(max_new_tokens=9, eos_token_id=END), Generation(max_new_tokens=9, eos_token_id=END, beams=3)])
def test_a_row_does_not_depend_on_its_company(family: str, options: Generation, pairs: dict[str, Pair]):
    options = dataclasses.replace(options, no_repeat_ngram=1, repetition_penalty=1.3)
    model, lengths = pairs[family].checkpoint.model, [4, 9, 1, 6, 6]
    together = tokens_of(generate(model, prompts(lengths, "right"), options))
    if family == "gpt2":  # the others count positions by columns, as transformers does: padding on the left moves them
        assert tokens_of(generate(model, prompts(lengths, "left"), options)) == together
    batch = prompts(lengths, "left")
    for number, length in enumerate(lengths):
        row = batch.input_ids[number : number + 1, -length:]
        alone = generate(model, Batch(row, torch.ones_like(row), torch.zeros_like(row)), options)
        assert tokens_of(alone)[0] == together[number]


def test_the_score_of_a_greedy_text_is_the_mean_of_its_tokens_logarithms(pairs: dict[str, Pair]):
    both, batch = pairs["gpt2"], prompts([3, 5, 8])
    found = both.peer.generate(
        batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=7, do_sample=False, return_dict_in_generate=True, output_scores=True
    )
    wanted = both.peer.compute_transition_scores(found.sequences, found.scores, normalize_logits=True).mean(1)
    ours = generate(both.checkpoint.model, batch, Generation(max_new_tokens=7))
    assert [row[0].score for row in ours] == pytest.approx(wanted.tolist(), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_token_can_be_forced(family: str, pairs: dict[str, Pair]):
    for beams in (1, 3):
        options = Generation(max_new_tokens=6, forced_bos_token_id=7, beams=beams, eos_token_id=END)
        ours = generate(pairs[family].checkpoint.model, prompts([1, 1, 1]), options)
        assert tokens_of(ours) == [[tokens for tokens, _ in row] for row in theirs(pairs[family], prompts([1, 1, 1]), options)]
        longer = generate(pairs[family].checkpoint.model, prompts([4, 2]), options)
        assert [row[0].input_ids[0] for row in longer] == [7, 7]


def test_where_all_tokens_are_forced_there_is_one_text(pairs: dict[str, Pair]):
    options = Generation(max_new_tokens=1, forced_eos_token_id=END, beams=3, num_return_sequences=3)
    assert tokens_of(generate(pairs["bart"].checkpoint.model, prompts([4, 2]), options)) == [[[END]], [[END]]]


def test_finished_rows_leave_the_batch(pairs: dict[str, Pair]):
    parts = Parts.of(pairs["gpt2"].checkpoint.model)
    for options in (Generation(max_new_tokens=20, eos_token_id=END), Generation(max_new_tokens=20, eos_token_id=END, beams=2, early_stopping=True)):
        rows: list[int] = []

        def counting(states: Tensor, rows: list[int] = rows) -> Tensor:
            rows.append(len(states))
            return parts.head(states)

        texts = generate(dataclasses.replace(parts, head=counting), prompts([5] * 30), options)
        lengths = np.array([len(row[0].input_ids) for row in texts])
        assert rows[0] == 30, "a prompt is read once, whatever the beams"
        assert len(set(rows[1:])) > 2, "rows leave one after another"
        if options.beams == 1:
            assert rows == [(lengths > step).sum() for step in range(lengths.max())]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("whole", [False, True])
def test_bfloat16_chooses_what_is_likeliest_but_for_rounding(family: str, whole: bool, pairs: dict[str, Pair]):
    plain, batch = Parts.of(pairs[family].checkpoint.model), prompts([6, 3, 8], "right")
    options = Generation(max_new_tokens=6)
    with autocast("float32" if whole else "bfloat16", torch.device("cpu")):
        texts = generate(fused(plain, torch.bfloat16) if whole else plain, batch, options)
    again: list[Tensor] = []

    def told(states: Tensor) -> Tensor:
        scores = plain.head(states)
        step = len(again)
        again.append(scores.amax(1) - scores.gather(1, torch.tensor([[int(row[0].input_ids[step])] for row in texts]))[:, 0])
        return torch.full_like(scores, -1e4).scatter(1, torch.tensor([[int(row[0].input_ids[step])] for row in texts]), 0.0)

    generate(dataclasses.replace(plain, head=told), batch, options)
    assert torch.stack(again).max() < 0.15
    assert len(again) == 6


def test_the_largest_are_found_in_any_vocabulary():
    generator = torch.Generator().manual_seed(0)
    for vocabulary, count in ((BLOCK * 40, 8), (BLOCK * 40 + 13, 10), (BLOCK * 39 + 63, 2), (500, 10), (17, 17)):
        scores = torch.randn(9, vocabulary, generator=generator)
        scores[0, -1], scores[1, : count + 1], scores[2] = 9.0, 8.0, float("-inf")
        scores[3, 5 : 5 + count // 2] = 7.0 + torch.rand(count // 2, generator=generator)
        values, places = largest(scores, count)
        assert torch.equal(values, scores.topk(count).values)
        assert torch.equal(scores.gather(1, places), values)
        assert all(len(set(row)) == count for row in places.tolist())


def exact(pair_: Pair, prompt: Tensor) -> Tensor:
    """Probabilities of the next token, by `transformers`."""
    with torch.no_grad():
        return pair_.peer(prompt).logits[:, -1].double().softmax(1)


def p_value(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Of the chi-square test; what is expected less than five times is counted together."""
    assert counts[probabilities == 0].sum() == 0, "something impossible was drawn"
    expected = probabilities * counts.sum()
    common = expected >= 5
    seen = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum())
    keep = wanted > 0
    return float(stats.chisquare(seen[keep], wanted[keep] * seen[keep].sum() / wanted[keep].sum()).pvalue)


@pytest.mark.parametrize("changes", [{}, {"temperature": 0.7}, {"temperature": 1.5, "top_k": 7}, {"top_p": 0.8}, {"top_k": 12, "top_p": 0.9}])
def test_tokens_are_drawn_by_their_probability(changes: dict[str, Any], pairs: dict[str, Pair]):
    both, prompt, rows = pairs["gpt2"], torch.tensor([[5, 9, 12]]), 3000
    options = Generation(sample=True, max_new_tokens=2, seed=4, **changes)
    ids = prompt.repeat(rows, 1)
    texts = np.array([row[0].input_ids for row in generate(both.checkpoint.model, Batch(ids, torch.ones_like(ids), torch.zeros_like(ids)), options)])
    vocabulary = len(VOCABULARY)
    first = narrowed(exact(both, prompt).log(), options).softmax(1)[0]
    after = torch.cat([prompt.repeat(vocabulary, 1), torch.arange(vocabulary)[:, None]], dim=1)
    second = first @ narrowed(exact(both, after).log(), options).softmax(1)
    for place, probabilities in enumerate((first, second)):
        assert p_value(np.bincount(texts[:, place], minlength=vocabulary), probabilities.numpy()) > 1e-3


@settings(max_examples=60, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    temperature=st.sampled_from([1.0, 0.3, 2.5]),
    top_k=st.integers(0, 35),
    top_p=st.sampled_from([1.0, 0.95, 0.6, 0.05]),
)
def test_what_is_drawn_from_is_what_transformers_would_draw_from(seed: int, temperature: float, top_k: int, top_p: float):
    scores = torch.randn(6, 30, generator=torch.Generator().manual_seed(seed)) * 3
    scores[0, :20] = float("-inf")
    scores[1] = scores[1].round()  # equal ones
    expected, nothing = scores, torch.zeros(6, 0)
    if temperature != 1:
        expected = TemperatureLogitsWarper(temperature)(nothing, expected)
    if top_k:
        expected = TopKLogitsWarper(top_k)(nothing, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(nothing, expected)
    assert torch.equal(narrowed(scores, Generation(sample=True, temperature=temperature, top_k=top_k, top_p=top_p)), expected)


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_a_draw_depends_on_seed_and_row_alone(family: str, pairs: dict[str, Pair]):
    model = pairs[family].checkpoint.model
    options = Generation(sample=True, max_new_tokens=8, eos_token_id=END, num_return_sequences=3, seed=1)
    lengths = [4, 9, 2, 6]
    together = tokens_of(generate(model, prompts(lengths, "right"), options))
    batch = prompts(lengths, "right")
    for number, length in enumerate(lengths):
        row = batch.input_ids[number : number + 1, :length]
        alone = generate(model, Batch(row, torch.ones_like(row), torch.zeros_like(row)), options, numbers=[number])
        assert tokens_of(alone)[0] == together[number]
    assert len({str(text) for text in together[0]}) == 3, "texts of one row are drawn apart"
    other = tokens_of(generate(model, prompts(lengths, "right"), dataclasses.replace(options, seed=2)))
    assert other != together


def test_impossible_options_are_told_all_at_once():
    with pytest.raises(RecipeError) as caught:
        Generation(
            max_new_tokens=0, min_new_tokens=3, beams=2, num_return_sequences=5, repetition_penalty=0.0, top_p=1.5, eos_token_id=2, suppressed=(2,)
        )
    problems = "\n".join(caught.value.problems)
    for said in (
        "max_new_tokens is 0",
        "there is no such text",
        "repetition_penalty is 0.0",
        "top_p is 1.5",
        "as beams, which are 2",
        "which ends a text",
    ):
        assert said in problems
    with pytest.raises(RecipeError, match="draw with one beam"):
        Generation(sample=True, beams=2)
    with pytest.raises(RecipeError, match="early_stopping is 'ever'"):
        Generation(early_stopping="ever")
    with pytest.raises(RecipeError, match="length_penalty is nan; it must be finite"):
        Generation(beams=2, length_penalty=float("nan"))


def test_what_does_not_fit_the_model_is_told(pairs: dict[str, Pair]):
    gpt2, bart = (pairs[family].checkpoint.model for family in ("gpt2", "bart"))
    generate(gpt2, prompts([21, 3]), Generation(max_new_tokens=20))
    with pytest.raises(RecipeError, match="22 tokens to begin with and 20 new ones are more than the 40"):
        generate(gpt2, prompts([22, 3]), Generation(max_new_tokens=20))
    with pytest.raises(RecipeError, match=r"rows \[1\] of the batch have no token"):
        generate(gpt2, prompts([2, 0]), Generation())
    with pytest.raises(RecipeError, match="eos_token_id: there is no token 99"):
        generate(gpt2, prompts([2]), Generation(eos_token_id=99))
    with pytest.raises(RecipeError, match="decoder_start_token_id is not set"):
        generate(dataclasses.replace(Parts.of(bart), start_id=None), prompts([2]), Generation())
    with pytest.raises(RecipeError, match="only a model with the head 'lm'"):
        generate(Model(gpt2.family, gpt2.backbone, {}), prompts([2]), Generation())


def test_a_decoder_that_was_edited_is_left_alone(pairs: dict[str, Pair]):
    from bertsmith.models.gpt2 import Gpt2

    encoder = Gpt2(vocab_size=40, n_embd=8, n_head=2, n_layer=1).build()
    assert decoder_obstacle(encoder) is None
    encoder.blocks[0].feed_forward.gated = True
    assert decoder_obstacle(encoder) == "block 0 is gated, turns its queries or looks elsewhere than back"

    class Edited(torch.nn.Linear):
        pass

    encoder.blocks[0].attention.query = Edited(8, 8)
    assert decoder_obstacle(encoder) == "attention.query of block 0 is a Edited"


def test_published_options():
    options = published(
        {"num_beams": 4, "max_length": 142, "min_length": 56, "length_penalty": 2.0, "no_repeat_ngram_size": 3, "early_stopping": True,
         "decoder_start_token_id": 2, "eos_token_id": [2], "forced_bos_token_id": 0, "forced_eos_token_id": 2, "bad_words_ids": [[5], [2]],
         "temperature": 0.2, "do_sample": False, "renormalize_logits": True, "diversity_penalty": 0.0, "num_beam_groups": 1, "suppress_tokens": None}
    )  # fmt: skip
    assert options == Generation(
        beams=4, max_new_tokens=141, min_new_tokens=55, length_penalty=2.0, no_repeat_ngram=3, early_stopping=True, decoder_start_token_id=2,
        eos_token_id=2, forced_bos_token_id=0, forced_eos_token_id=2, suppressed=(5,), renormalize=True,
    )  # fmt: skip
    assert published({}) == Generation()


def test_what_is_published_and_cannot_be_done_is_told_all_at_once():
    wrong = {
        "eos_token_id": [2, 3],
        "num_beams": "4",
        "length_penalty": True,
        "num_beam_groups": 2,
        "suppress_tokens": [7],
        "bad_words_ids": [[6, 7]],
    }
    with pytest.raises(RecipeError, match="mend its generation_config") as caught:
        published(wrong)
    assert sorted(problem.partition(" is ")[0] for problem in caught.value.problems) == sorted(wrong)
