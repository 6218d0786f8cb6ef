"""How a batch lies in memory while the encoder computes: without its padding.

Outside, a batch is a rectangle `(batch, length)` with an attention mask. Inside, only the real tokens exist, one row each, `(tokens, hidden)`; linear
layers, norms and activations never see padding. Attention alone needs to know which tokens belong together: sequences are put in order of length, so
that those of nearly the same length lie side by side and are attended to in one call.

::

    a b c d          packed: e f | g h i | a b c d
    e f . .    ──▶   groups: 1 sequence of length 2, 2 of length 4 (one of them with one place masked)
    g h i .

How unlike the lengths in a group may be is a trade between padding and the number of calls. On a GPU many small calls cost more than any padding they
save; there, `Layout.of(mask, one_group=True)` makes one group of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

SPARE = 8
"""A group takes sequences that are shorter than its longest by at most one part in so many."""


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences that one attention call handles. Their tokens lie side by side among the packed tokens.

    Attributes:
        rows: Tokens.
        count: Sequences.
        length: Tokens of the longest.
        mask: Which places of `(count, length)` hold a token; None where all do.
        spread: For every place, the row of its token, or some row where it has none; None where there is no mask.
        closed: For every row, its place.
    """

    rows: int
    count: int
    length: int
    mask: Bool[Tensor, "count length"] | None = None
    spread: Int[Tensor, " places"] | None = None
    closed: Int[Tensor, " rows"] | None = None

    @staticmethod
    def of(lengths: Int[Tensor, " count"]) -> Group:
        """Sequences by their lengths; with a mask where these are not all the same."""
        count, longest = len(lengths), int(lengths.max())
        if bool((lengths == longest).all()):
            return Group(count * longest, count, longest)
        return Group.masked(torch.arange(longest, device=lengths.device) < lengths[:, None])

    @staticmethod
    def masked(mask: Bool[Tensor, "count length"]) -> Group:
        """Sequences of unequal lengths.

        Args:
            mask: Which places hold a token.
        """
        flat = mask.flatten()
        closed = flat.nonzero().squeeze(1)
        return Group(len(closed), mask.shape[0], mask.shape[1], mask, (flat.cumsum(0) - 1).clamp(min=0), closed)

    def split(self, packed: Float[Tensor, "rows heads size"]) -> Float[Tensor, "count heads length size"]:
        """This group's tokens as a rectangle, heads before length; places without a token hold some other token's values."""
        if self.spread is not None:
            packed = packed.index_select(0, self.spread)  # and not `packed[...]`, whose gradient is summed more slowly
        return packed.view(self.count, self.length, *packed.shape[1:]).transpose(1, 2)

    def join(self, rectangle: Float[Tensor, "count heads length size"]) -> Float[Tensor, "rows hidden"]:
        """The reverse of `split`, heads joined into one row a token."""
        joined = rectangle.transpose(1, 2).flatten(2).flatten(0, 1)
        return joined if self.closed is None else joined.index_select(0, self.closed)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where every packed token stands in the padded rectangle.

    Attributes:
        batch: Sequences.
        length: Columns of the padded rectangle.
        tokens: For every packed row, its index in the flattened rectangle; None where nothing is padded and the order is unchanged.
        firsts: For every sequence, the packed row of its first token.
        groups: What attention is computed over.
    """

    batch: int
    length: int
    tokens: Int[Tensor, " tokens"] | None
    firsts: Int[Tensor, " batch"]
    groups: tuple[Group, ...]

    @staticmethod
    def of(attention_mask: Int[Tensor, "batch length"], *, one_group: bool | None = None) -> Layout:
        """The layout for a mask. Padding may stand anywhere, and gaps inside a sequence close up.

        Args:
            attention_mask: 1 where there is a token.
            one_group: One padded attention call instead of one per length; by default on every device but a CPU.

        Raises:
            ValueError: A sequence without a single token.
        """
        batch, length = attention_mask.shape
        kept = attention_mask.bool()
        lengths = kept.sum(1)
        sizes: list[int] = lengths.tolist()
        if min(sizes, default=1) == 0:
            raise ValueError(f"sequence {sizes.index(0)} of the batch has no token: its attention_mask is all 0")
        if one_group is None:
            one_group = attention_mask.device.type != "cpu"
        if all(size == length for size in sizes):
            firsts = torch.arange(0, batch * length, length, device=kept.device)
            return Layout(batch, length, None, firsts, (Group(batch * length, batch, length),))
        places = kept.flatten().nonzero().squeeze(1)
        if one_group:
            longest = max(sizes)
            closed_up = torch.arange(longest, device=kept.device) < lengths[:, None]
            return Layout(batch, length, places, lengths.cumsum(0) - lengths, (Group.masked(closed_up),))
        order = torch.argsort(lengths, stable=True)
        rank = torch.argsort(order)
        places = places[torch.argsort(rank[places // length], stable=True)]
        ends = lengths[order].cumsum(0)
        return Layout(batch, length, places, (ends - lengths[order])[rank], tuple(_groups(sorted(sizes))))

    def only(self, chosen: Bool[Tensor, "batch length"]) -> Chosen:
        """Some of the tokens, in the same order; groups hold the same sequences as here, with fewer tokens or none.

        Args:
            chosen: Where they stand; padding counts for nothing.
        """
        rows = self.pack(chosen).nonzero().squeeze(1)
        tokens = rows if self.tokens is None else self.tokens.index_select(0, rows)
        order = self.firsts.argsort()  # as the sequences lie in memory
        counts = (chosen & self.kept()).sum(1).index_select(0, order)
        firsts = (counts.cumsum(0) - counts).index_select(0, order.argsort())
        groups = tuple(map(Group.of, counts.split([group.count for group in self.groups])))
        return Chosen(rows, Layout(self.batch, self.length, tokens, firsts, groups))

    def pack(self, padded: Shaped[Tensor, "batch length *rest"]) -> Shaped[Tensor, "tokens *rest"]:
        """The real tokens of a padded tensor, in the order of computation."""
        flat = padded.flatten(0, 1)
        return flat if self.tokens is None else flat.index_select(0, self.tokens)

    def pad(self, packed: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "batch length hidden"]:
        """The reverse of `pack`; padding is zero."""
        if self.tokens is None:
            return packed.view(self.batch, self.length, -1)
        flat = packed.new_zeros(self.batch * self.length, packed.shape[1])
        return flat.index_copy(0, self.tokens, packed).view(self.batch, self.length, -1)

    def kept(self) -> Bool[Tensor, "batch length"]:
        """Which places of the rectangle hold a token: the attention mask that it was made from."""
        if self.tokens is None:
            return torch.ones(self.batch, self.length, dtype=torch.bool, device=self.firsts.device)
        kept = torch.zeros(self.batch * self.length, dtype=torch.bool, device=self.firsts.device)
        return kept.index_fill(0, self.tokens, True).view(self.batch, self.length)

    def rows(self, chosen: Bool[Tensor, "batch length"]) -> Int[Tensor, " chosen"]:
        """Packed rows of chosen places, in reading order (row by row of the rectangle), so that `labels[chosen]` lines up with them."""
        places = chosen.flatten().nonzero().squeeze(1)
        if self.tokens is None:
            return places
        inverse = self.tokens.new_full((self.batch * self.length,), -1)
        inverse[self.tokens] = torch.arange(len(self.tokens), device=inverse.device)
        rows = inverse[places]
        assert bool((rows >= 0).all()), "padding was chosen, and padding has no row"
        return rows

    def places(self) -> Int[Tensor, " tokens"]:
        """For every packed row, its place in its own sequence, counted from 0; padding counts for nothing."""
        if self.tokens is None:
            return torch.arange(self.length, device=self.firsts.device).repeat(self.batch)
        return self.pack(self.kept().cumsum(1) - 1)

    def sequence_of_rows(self) -> Int[Tensor, " tokens"]:
        """For every packed row, the number of its sequence in the batch."""
        places = self.tokens if self.tokens is not None else torch.arange(self.batch * self.length, device=self.firsts.device)
        return places // self.length


def _groups(sizes: list[int]) -> Iterator[Group]:
    """Groups of sequences of like length, from sorted lengths; made from the longest down, so that the waste is bounded by the longest."""
    groups: list[Group] = []
    end = len(sizes)
    while end:
        longest = sizes[end - 1]
        begin = end - 1
        while begin and sizes[begin - 1] >= longest - longest // SPARE:
            begin -= 1
        groups.append(Group.of(torch.tensor(sizes[begin:end])))
        end = begin
    return reversed(groups)


class Chosen(NamedTuple):
    """Some of a layout's tokens; see `Layout.only`.

    Attributes:
        rows: Their packed rows.
        layout: Of what is computed for them alone.
    """

    rows: Int[Tensor, " chosen"]
    layout: Layout


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder returns: one state a token, packed, and the way back to the padded form.

    Attributes:
        states: The last layer's output, packed.
        layout: Where the rows stand.
    """

    states: Float[Tensor, "tokens hidden"]
    layout: Layout

    def padded(self) -> Float[Tensor, "batch length hidden"]:
        """The states as a rectangle; zeros where there is padding."""
        return self.layout.pad(self.states)

    def first(self) -> Float[Tensor, "batch hidden"]:
        """The state of every sequence's first token, which is [CLS] (RoBERTa: `<s>`)."""
        return self.states.index_select(0, self.layout.firsts)

    def last(self) -> Float[Tensor, "batch hidden"]:
        """The state of every sequence's last token."""
        lengths = self.layout.kept().sum(1)
        return self.states[self.layout.firsts + lengths - 1]

    def at(self, chosen: Bool[Tensor, "batch length"]) -> Float[Tensor, "chosen hidden"]:
        """The states at chosen places, in the order of `labels[chosen]`."""
        return self.states.index_select(0, self.layout.rows(chosen))

    def mean(self) -> Float[Tensor, "batch hidden"]:
        """The mean state of every sequence's tokens."""
        owner = self.layout.sequence_of_rows()
        total = self.states.new_zeros(self.layout.batch, self.states.shape[1]).index_add(0, owner, self.states)
        return total / torch.bincount(owner, minlength=self.layout.batch).unsqueeze(1).to(total.dtype)
