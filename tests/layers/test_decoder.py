"""A decoder reads a source and what is to the left, and nothing else; targets are labels one place later."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.core.types import IGNORED, Batch
from bertsmith.layers.cache import Cache
from bertsmith.layers.decoder import EncoderDecoder, shifted
from bertsmith.models.marian import Marian
from bertsmith.testing.tiny import answered, ragged, tiny_family, tiny_model


@pytest.fixture(scope="module")
def family() -> Marian:
    tiny = tiny_family(Marian)
    assert isinstance(tiny, Marian)
    return tiny


@pytest.fixture(scope="module")
def backbone(family: Marian) -> EncoderDecoder:
    model = tiny_model(family, {}).backbone
    assert isinstance(model, EncoderDecoder)
    return model


def of(ids: list[list[int]]) -> Batch:
    rows = torch.tensor(ids)
    return Batch(rows, torch.ones_like(rows), torch.zeros_like(rows))


def padded(backbone: EncoderDecoder, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return backbone(batch).padded()


def test_a_token_sees_those_before_it_and_none_behind(backbone: EncoderDecoder):
    source = of([[5, 6, 7, 8]])
    first = padded(backbone, replace(source, target=of([[9, 10, 11, 12]])))
    second = padded(backbone, replace(source, target=of([[9, 10, 99, 98]])))
    torch.testing.assert_close(first[:, :2], second[:, :2])
    assert not torch.isclose(first[:, 2:], second[:, 2:]).all(2).any()


def test_every_token_sees_all_of_its_own_source(backbone: EncoderDecoder):
    target = of([[9, 10, 11], [9, 10, 11]])
    before = padded(backbone, replace(of([[5, 6, 7], [5, 6, 7]]), target=target))
    after = padded(backbone, replace(of([[5, 6, 7], [5, 6, 99]]), target=target))
    torch.testing.assert_close(before[0], after[0])
    assert not torch.isclose(before[1], after[1]).all(1).any()


def test_rows_of_one_source_look_at_it_together_in_steps(family: Marian, backbone: EncoderDecoder):
    """Two continuations of every source, as beams have them."""
    batch = ragged(family)
    ids = torch.randint(1, 90, (10, 4), generator=torch.Generator().manual_seed(4))
    repeated = Batch(*(tensor.repeat_interleave(2, 0) for tensor in (batch.input_ids, batch.attention_mask, batch.token_type_ids)))
    with torch.no_grad():
        cache = Cache(len(backbone.decoder.blocks), torch.ones(10, 1, dtype=torch.bool), 3)
        backbone.decoder.remember(backbone.encoder(batch), cache)
        steps = torch.cat([backbone.decoder.step(column, cache) for column in ids.split(1, 1)], 1)
    torch.testing.assert_close(steps, padded(backbone, replace(repeated, target=of(ids.tolist()))))


def test_a_batch_without_a_target_is_its_own(family: Marian, backbone: EncoderDecoder):
    start = family.decoder_start_token_id
    left = Batch(torch.tensor([[0, 5, 6], [7, 8, 9]]), torch.tensor([[0, 1, 1], [1, 1, 1]]), torch.zeros(2, 3, dtype=torch.long))
    target = Batch(torch.tensor([[start, 5, 0], [start, 7, 8]]), torch.tensor([[1, 1, 0], [1, 1, 1]]), left.token_type_ids)
    torch.testing.assert_close(padded(backbone, left), padded(backbone, replace(left, target=target)))


def test_a_target_that_is_too_long_is_refused(family: Marian, backbone: EncoderDecoder):
    long = ragged(family, (65, 3)).target
    with pytest.raises(ValueError, match="a sequence of 65 tokens is longer than the 64 that the model has positions for"):
        backbone(replace(ragged(family, (3, 3)), target=long))


def test_the_target_goes_where_the_batch_goes(family: Marian):
    batch = ragged(family)
    assert batch.target is not None
    moved = batch.to(torch.device("meta")).target
    assert moved is not None
    assert moved.input_ids.is_meta
    assert batch.num_tokens == int(batch.attention_mask.sum() + batch.target.attention_mask.sum())


def test_a_token_embedding_that_is_shared_is_there_once(backbone: EncoderDecoder):
    assert backbone.decoder.embeddings.token is backbone.encoder.embeddings.token
    assert [name for name, _ in backbone.named_parameters(remove_duplicate=False) if ".token." in name] == ["encoder.embeddings.token.weight"]


def test_levels_hold_every_weight_once(backbone: EncoderDecoder):
    found = [id(weight) for level in backbone.levels() for weight in level.parameters()]
    assert sorted(found) == sorted(id(weight) for weight in backbone.parameters())
    assert len(backbone.levels()) == 1 + len(backbone.encoder.blocks) + len(backbone.decoder.blocks)


@given(st.lists(st.lists(st.integers(3, 9), min_size=1, max_size=6), min_size=1, max_size=4))
def test_what_is_read_at_a_place_is_the_label_before_it(rows: list[list[int]]):
    width = max(map(len, rows))
    labels = torch.tensor([row + [IGNORED] * (width - len(row)) for row in rows])
    target = shifted(labels, start_id=2, padding_id=0)
    read = [ids[: int(mask.sum())].tolist() for ids, mask in zip(target.input_ids, target.attention_mask, strict=True)]
    assert read == [[2, *row[:-1]] for row in rows]
    assert torch.equal(answered(Batch(labels, labels, labels, target=target)), labels != IGNORED)


def test_a_row_without_labels_still_has_its_start():
    target = shifted(torch.full((2, 3), IGNORED), start_id=2, padding_id=0)
    assert target.attention_mask.tolist() == [[1, 0, 0]] * 2
    assert target.input_ids.tolist() == [[2, 0, 0]] * 2
