"""The layout of a batch: nothing is lost on the way in and back, and every token meets exactly those of its own sequence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bertsmith.layers.attention import attend
from bertsmith.layers.layout import Encoded, Layout


@st.composite
def masks(draw: st.DrawFn) -> Tensor:
    """Masks with padding anywhere; every sequence has at least one token."""
    batch, length = draw(st.integers(1, 6)), draw(st.integers(1, 20))
    rows = [draw(st.lists(st.booleans(), min_size=length, max_size=length).filter(any)) for _ in range(batch)]
    return torch.tensor(rows).long()


@st.composite
def full_or_right_padded(draw: st.DrawFn) -> Tensor:
    lengths = torch.tensor(draw(st.lists(st.integers(1, 40), min_size=1, max_size=12)))
    return (torch.arange(int(lengths.max())) < lengths[:, None]).long()


MASKS = masks() | full_or_right_padded()
WAYS = st.sampled_from([True, False])
checked = settings(deadline=None, max_examples=40)


def numbered(mask: Tensor) -> Tensor:
    """A different number at every place."""
    return torch.arange(1, mask.numel() + 1, dtype=torch.float32).view(*mask.shape, 1).expand(*mask.shape, 2)


@checked
@given(MASKS, WAYS)
def test_packing_and_padding_give_back_what_was_there_and_zeros_elsewhere(mask: Tensor, one_group: bool):
    layout, values = Layout.of(mask, one_group=one_group), numbered(mask)
    packed = layout.pack(values)
    assert len(packed) == mask.sum()
    assert torch.equal(layout.pad(packed), values * mask[..., None])


@checked
@given(MASKS, WAYS)
def test_groups_cover_every_token_once_in_the_order_of_the_packed_rows(mask: Tensor, one_group: bool):
    layout = Layout.of(mask, one_group=one_group)
    assert sum(group.rows for group in layout.groups) == mask.sum()
    assert sum(group.count for group in layout.groups) == len(mask)
    rows = torch.arange(int(mask.sum()), dtype=torch.float32).view(-1, 1, 1)
    start = 0
    for group in layout.groups:
        mine = rows[start : start + group.rows]
        assert torch.equal(group.join(group.split(mine)), mine.flatten(1))
        start += group.rows


@checked
@given(MASKS, WAYS)
def test_a_group_holds_whole_sequences(mask: Tensor, one_group: bool):
    layout = Layout.of(mask, one_group=one_group)
    owners = layout.sequence_of_rows()
    start = 0
    for group in layout.groups:
        found = owners[start : start + group.rows]
        lengths = group.mask.sum(1).tolist() if group.mask is not None else [group.length] * group.count
        assert [int(size) for size in torch.unique_consecutive(found, return_counts=True)[1]] == lengths
        assert max(lengths) <= group.length
        assert one_group or max(lengths) == group.length
        start += group.rows
    assert torch.equal(torch.bincount(owners, minlength=len(mask)), mask.sum(1))


@checked
@given(MASKS, WAYS, st.data())
def test_rows_of_chosen_places_are_in_reading_order(mask: Tensor, one_group: bool, data: st.DataObject):
    layout, values = Layout.of(mask, one_group=one_group), numbered(mask)
    chosen = torch.tensor(data.draw(st.lists(st.booleans(), min_size=mask.numel(), max_size=mask.numel()))).view(mask.shape) & mask.bool()
    assert torch.equal(layout.pack(values)[layout.rows(chosen)], values[chosen])
    assert torch.equal(Encoded(layout.pack(values), layout).at(chosen), values[chosen])


@checked
@given(MASKS, WAYS)
def test_first_and_mean_are_those_of_the_real_tokens(mask: Tensor, one_group: bool):
    layout, values = Layout.of(mask, one_group=one_group), numbered(mask)
    encoded = Encoded(layout.pack(values), layout)
    for row, real in enumerate(mask.bool()):
        assert torch.equal(encoded.first()[row], values[row][real][0])
        torch.testing.assert_close(encoded.mean()[row], values[row][real].mean(0))
    assert torch.equal(encoded.padded(), values * mask[..., None])


@checked
@given(MASKS, WAYS)
def test_attention_is_that_of_every_sequence_by_itself(mask: Tensor, one_group: bool):
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, *mask.shape, 2, 4, generator=generator)
    layout = Layout.of(mask, one_group=one_group)
    together = layout.pad(attend(layout.pack(query), layout.pack(key), layout.pack(value), layout))
    for row, real in enumerate(mask.bool()):
        q, k, v = (part[row][real].transpose(0, 1) for part in (query, key, value))
        alone = ((q @ k.transpose(1, 2)) / 2).softmax(-1) @ v
        torch.testing.assert_close(together[row][real], alone.transpose(0, 1).flatten(1), rtol=1e-4, atol=1e-5)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=40))
@checked
def test_padding_inside_groups_is_bounded(lengths: list[int]):
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    groups = Layout.of(mask, one_group=False).groups
    assert all(group.rows >= 7 / 8 * group.count * group.length for group in groups)
    if len(set(lengths)) == 1:
        assert len(groups) == 1


def test_a_batch_without_padding_is_left_as_it_lies():
    layout = Layout.of(torch.ones(3, 5, dtype=torch.long))
    values = torch.randn(3, 5, 2)
    assert layout.tokens is None
    assert layout.pack(values).data_ptr() == values.data_ptr()
    assert layout.firsts.tolist() == [0, 5, 10]


def test_a_sequence_without_a_token_is_named():
    with pytest.raises(ValueError, match="sequence 1 of the batch has no token"):
        Layout.of(torch.tensor([[1, 0], [0, 0]]))


def test_padding_cannot_be_chosen():
    layout = Layout.of(torch.tensor([[1, 0], [1, 1]]))
    with pytest.raises(AssertionError, match="padding was chosen"):
        layout.rows(torch.tensor([[False, True], [False, False]]))
