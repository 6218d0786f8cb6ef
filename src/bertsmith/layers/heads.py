"""What stands on top of an encoder: the heads that turn states into predictions.

Each takes what an encoder returned and computes only what is asked for: a sentence head the first token's state, the vocabulary projection the masked
places, a tagger every token.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.layers.activations import ACTIVATIONS
from bertsmith.layers.layout import Encoded


class Pooler(nn.Module):
    """BERT's sentence vector: the [CLS] state through a dense layer and tanh.

    Args:
        hidden: Width of the states.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch hidden"]:
        """One vector a sequence."""
        return torch.tanh(self.dense(encoded.first()))


class PooledClassifier(nn.Module):
    """BERT's classification head: pooler, dropout, linear. Serves next-sentence prediction too, without dropout.

    Args:
        hidden: Width of the states.
        num_labels: Scores a sequence.
        dropout: Share of values set to zero while training, 0-1.
    """

    def __init__(self, hidden: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.pooler = Pooler(hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, num_labels)

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch num_labels"]:
        """One row of scores a sequence."""
        return self.output(self.dropout(self.pooler(encoded)))


class _Dense(nn.Module):
    """Dropout, dense, activation, dropout, linear.

    Args:
        hidden: Width of the states.
        num_labels: Scores a sequence.
        dropout: Share of values set to zero while training, 0-1.
        activation: A name of `ACTIVATIONS`.
    """

    def __init__(self, hidden: int, num_labels: int, dropout: float, activation: str = "tanh") -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, num_labels)

    def _scores(self, states: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch num_labels"]:
        return self.output(self.dropout(self.activation(self.dense(self.dropout(states)))))


class DenseClassifier(_Dense):
    """The classification head of RoBERTa, and with the activation "gelu" of ELECTRA: two layers on the first token's state."""

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch num_labels"]:
        """One row of scores a sequence."""
        return self._scores(encoded.first())


class LastTokenDenseClassifier(_Dense):
    """BART's classification head: the same on the last token's state, because in a decoder it alone has seen everything."""

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch num_labels"]:
        """One row of scores a sequence."""
        return self._scores(encoded.last())


class TokenClassifier(nn.Module):
    """Dropout and a linear layer on every token: tagging.

    Args:
        hidden: Width of the states.
        num_labels: Scores a token.
        dropout: Share of values set to zero while training, 0-1.
    """

    def __init__(self, hidden: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, num_labels)

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch length num_labels"]:
        """One row of scores a token; zeros at padding."""
        return encoded.layout.pad(self.output(self.dropout(encoded.states)))


class SpanHead(nn.Module):
    """Scores every token as the start and as the end of an answer.

    Args:
        hidden: Width of the states.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.output = nn.Linear(hidden, 2)

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch length 2"]:
        """Start and end score of every token; zeros at padding."""
        return encoded.layout.pad(self.output(encoded.states))


class VocabularyHead(nn.Module):
    """The masked-language-model head: dense, activation, norm, then a score for every token of the vocabulary.

    The last step multiplies with the token embedding itself (tied weights), so the head owns a bias only. The embedding is held in a tuple, which
    keeps it from being registered here a second time.

    Args:
        embedding: The token embedding.
        activation: A name of `ACTIVATIONS`.
        epsilon: Of the layer norm.
        hidden: Width of the states, where it is another than that of the embedding (factorised embeddings).
    """

    def __init__(self, embedding: nn.Embedding, activation: str, epsilon: float, hidden: int | None = None) -> None:
        super().__init__()
        vocabulary, width = embedding.weight.shape
        self.dense = nn.Linear(hidden or width, width)
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[activation]
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self._embedding = (embedding,)

    def forward(self, states: Float[Tensor, "chosen hidden"]) -> Float[Tensor, "chosen vocabulary"]:
        """Scores over the vocabulary for chosen states; take them with `Encoded.at`."""
        return F.linear(self.norm(self.activation(self.dense(states))), self._embedding[0].weight, self.bias)


class ReplacedTokenHead(nn.Module):
    """ELECTRA's discriminator: is this token the one that was written, or one that a generator put in its place?

    Reference: Clark et al. 2020, "ELECTRA", section 2.

    Args:
        hidden: Width of the states.
        activation: A name of `ACTIVATIONS`.
    """

    def __init__(self, hidden: int, activation: str) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[activation]
        self.output = nn.Linear(hidden, 1)

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch length 1"]:
        """A score a token, above 0 where it is taken for replaced; zeros at padding."""
        return encoded.layout.pad(self.output(self.activation(self.dense(encoded.states))))


class NextTokenHead(nn.Module):
    """The causal language model's head: a score for every token of the vocabulary, by the token embedding itself (tied weights).

    Args:
        embedding: The token embedding; held in a tuple, which keeps it from being registered here a second time.
        bias: Whether every token has a bias of its own, as in BART; published models store it, mostly zeros, and never train it.
    """

    def __init__(self, embedding: nn.Embedding, *, bias: bool = False) -> None:
        super().__init__()
        self._embedding = (embedding,)
        self.bias: Tensor | None
        self.register_buffer("bias", torch.zeros(1, embedding.num_embeddings) if bias else None)

    @property
    def embedding(self) -> nn.Embedding:
        """The token embedding."""
        return self._embedding[0]

    def forward(self, states: Float[Tensor, "chosen hidden"]) -> Float[Tensor, "chosen vocabulary"]:
        """Scores of what follows each of the chosen states; take them with `Encoded.at`."""
        scores = F.linear(states, self._embedding[0].weight)
        return scores if self.bias is None else scores + self.bias


class LastTokenClassifier(nn.Module):
    """A linear layer on the last token's state: in a decoder it alone has seen the whole text. No bias, as in GPT-2's head.

    Args:
        hidden: Width of the states.
        num_labels: Scores a sequence.
    """

    def __init__(self, hidden: int, num_labels: int) -> None:
        super().__init__()
        self.output = nn.Linear(hidden, num_labels, bias=False)

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch num_labels"]:
        """One row of scores a sequence."""
        return self.output(encoded.last())
