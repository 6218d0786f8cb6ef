"""Token by token, with a memory of what came before, a decoder computes what it computes at once."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bertsmith.core.types import Batch
from bertsmith.layers.attention import CrossAttention, SelfAttention, Sight
from bertsmith.layers.cache import Cache
from bertsmith.layers.decoder import Decoder, DecoderBlock, EncoderDecoder
from bertsmith.layers.embeddings import Embeddings, SinusoidalPositions, columns_from
from bertsmith.layers.encoder import Block, Encoder
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.layout import Layout

BACKWARDS = Sight(causal=True)
HIDDEN, HEADS, VOCABULARY, POSITIONS = 12, 3, 30, 24


def embeddings(vocabulary: int | nn.Embedding = VOCABULARY) -> Embeddings:
    return Embeddings(
        vocabulary=vocabulary, hidden=HIDDEN, max_positions=POSITIONS, dropout=0.0, positions=columns_from(2), reserved_positions=2, scale=2.0
    )


def block(*, norm_first: bool = True, sight: Sight = BACKWARDS) -> Block:
    attention = SelfAttention(HIDDEN, HEADS, 0.0, sight)
    return Block(attention, FeedForward(HIDDEN, 20, "gelu"), hidden=HIDDEN, epsilon=1e-5, dropout=0.0, norm_first=norm_first)


def decoder_block(*, norm_first: bool) -> DecoderBlock:
    attention = SelfAttention(HIDDEN, HEADS, 0.0, Sight(causal=True))
    forward = FeedForward(HIDDEN, 20, "relu")
    return DecoderBlock(attention, CrossAttention(HIDDEN, HEADS, 0.0), forward, hidden=HIDDEN, epsilon=1e-5, dropout=0.0, norm_first=norm_first)


def sequences(*lengths: int, left: bool = False, seed: int = 0) -> Batch:
    generator, width = torch.Generator().manual_seed(seed), max(lengths)
    places, size = torch.arange(width).expand(len(lengths), width), torch.tensor(lengths)[:, None]
    mask = (places >= width - size if left else places < size).long()
    return Batch(torch.randint(1, VOCABULARY, mask.shape, generator=generator) * mask, mask, torch.zeros_like(mask))


def alone(batch: Batch, row: int) -> Batch:
    real = batch.attention_mask[row].bool()
    return Batch(*(part[row][real][None] for part in (batch.input_ids, batch.attention_mask, batch.token_type_ids)))


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), more=st.integers(0, 5), norm_first=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_decoder_alone(lengths: list[int], more: int, norm_first: bool):
    torch.manual_seed(1)
    decoder = Encoder(embeddings(), [block(norm_first=norm_first) for _ in range(2)], final_norm=nn.LayerNorm(HIDDEN))
    prompt, following = sequences(*lengths, left=True), torch.randint(1, VOCABULARY, (len(lengths), more))
    cache = Cache(2, prompt.attention_mask.bool(), more)
    with torch.no_grad():
        found = [decoder.step(prompt.input_ids, cache), *(decoder.step(following[:, column : column + 1], cache) for column in range(more))]
        for row in range(len(lengths)):
            whole = torch.cat([alone(prompt, row).input_ids, following[row : row + 1]], dim=1)
            expected = decoder(Batch(whole, torch.ones_like(whole), torch.zeros_like(whole))).states
            torch.testing.assert_close(torch.cat(found, dim=1)[row, -whole.shape[1] :], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("left", [True, False], ids=["padding on the left", "padding on the right"])
def test_a_decoder_that_reads_a_source_with_several_rows_a_source(norm_first: bool, left: bool):
    torch.manual_seed(2)
    encoder = Encoder(embeddings(), [block(norm_first=norm_first, sight=Sight())])
    decoder = Decoder(embeddings(encoder.embeddings.token), [decoder_block(norm_first=norm_first) for _ in range(2)])
    model = EncoderDecoder(encoder, decoder, start_id=0, padding_id=0)
    sources, targets = sequences(5, 2, 7, left=left), torch.randint(1, VOCABULARY, (6, 4))
    beams = torch.arange(3).repeat_interleave(2)
    repeated = Batch(*(part[beams] for part in (sources.input_ids, sources.attention_mask, sources.token_type_ids)))
    with torch.no_grad():
        expected = model(replace(repeated, target=Batch(targets, torch.ones_like(targets), torch.zeros_like(targets)))).padded()
        cache = Cache(2, torch.ones(6, 1, dtype=torch.bool), 3)
        decoder.remember(encoder(sources), cache)
        found = torch.cat([decoder.step(targets[:, column : column + 1], cache) for column in range(4)], dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found[0], found[2], atol=1e-2)


def test_other_rows_can_go_on_in_the_places_of_these():
    torch.manual_seed(3)
    decoder = Encoder(embeddings(), [block()])
    first, last = torch.randint(1, VOCABULARY, (3, 4)), torch.randint(1, VOCABULARY, (3, 1))
    chosen = torch.tensor([2, 0, 2])
    with torch.no_grad():
        cache = Cache(1, torch.ones(3, 4, dtype=torch.bool), 1)
        decoder.step(first, cache)
        cache.choose(chosen)
        whole = torch.cat([first[chosen], last], dim=1)
        expected = decoder(Batch(whole, torch.ones_like(whole), torch.zeros_like(whole))).padded()[:, -1:]
        torch.testing.assert_close(decoder.step(last, cache), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("one_group", [True, False])
@pytest.mark.parametrize("sight", [Sight(causal=True), Sight(window=2), Sight(causal=True, window=1)], ids=str)
def test_a_token_changes_only_those_that_see_it(sight: Sight, one_group: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Layout.of, "__kwdefaults__", {"one_group": one_group})
    torch.manual_seed(4)
    encoder = Encoder(embeddings(), [block(sight=sight)])
    batch = sequences(9, 6)
    changed = batch.input_ids.clone()
    changed[0, 4] = batch.input_ids[0, 4] % (VOCABULARY - 1) + 1
    with torch.no_grad():
        before, after = (encoder(Batch(ids, batch.attention_mask, batch.token_type_ids)).padded() for ids in (batch.input_ids, changed))
    moved = {(row, place) for row, place in ((before - after).abs().amax(2) > 1e-6).nonzero().tolist()}
    reach = 9 if sight.window is None else sight.window
    assert moved == {(0, place) for place in range(9) if abs(place - 4) <= reach and not (sight.causal and place < 4)}


def test_a_borrowed_token_embedding_is_neither_trained_nor_saved_twice():
    owner = embeddings()
    borrower = embeddings(owner.token)
    assert borrower.token is owner.token
    assert sorted(name for name, _ in borrower.named_parameters()) == ["position.weight"]


def test_sinusoidal_positions_by_hand():
    table: Tensor = SinusoidalPositions(4, 4).table()
    expected = [0.8414709848, 0.0099998333, 0.5403023059, 0.9999500004]  # sin(1), sin(1/100), cos(1), cos(1/100)
    torch.testing.assert_close(table[1], torch.tensor(expected))
    torch.testing.assert_close(table[0], torch.tensor([0.0, 0.0, 1.0, 1.0]))
