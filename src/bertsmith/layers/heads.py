"""What stands on top of an encoder: the heads that turn states into predictions.

Each takes what an encoder returned and computes only what is asked for: a sentence head the first token's state, the vocabulary projection the masked
places, a tagger every token.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.core.types import Batch
from bertsmith.layers.activations import ACTIVATIONS
from bertsmith.layers.dropout import Dropout
from bertsmith.layers.layout import Encoded
from bertsmith.layers.vocabulary_loss import vocabulary_loss

POOLINGS: dict[str, Callable[[Encoded], Tensor]] = {"mean": Encoded.mean, "cls": Encoded.first}
"""Ways from the states of a sequence's tokens to one vector."""


class Pooler(nn.Module):
    """BERT's sentence vector: the [CLS] state through a dense layer and an activation.

    Args:
        hidden: Width of the states.
        activation: A name of `ACTIVATIONS`; DistilBERT's classifier has "relu".
    """

    def __init__(self, hidden: int, activation: str = "tanh") -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[activation]

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch hidden"]:
        """One vector a sequence."""
        return self.activation(self.dense(encoded.first()))


class PooledClassifier(nn.Module):
    """BERT's classification head: pooler, dropout, linear. Serves next-sentence prediction too, without dropout.

    Args:
        hidden: Width of the states.
        num_labels: Scores a sequence.
        dropout: Share of values set to zero while training, 0-1.
        activation: Of the pooler.
    """

    def __init__(self, hidden: int, num_labels: int, dropout: float, activation: str = "tanh") -> None:
        super().__init__()
        self.pooler = Pooler(hidden, activation)
        self.dropout = Dropout(dropout)
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
        self.dropout = Dropout(dropout)
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


FIRST_TOKEN_HEADS = (PooledClassifier, DenseClassifier)
"""Heads that look at the first token's state and at no other."""


class TokenClassifier(nn.Module):
    """Dropout and a linear layer on every token: tagging.

    Args:
        hidden: Width of the states.
        num_labels: Scores a token.
        dropout: Share of values set to zero while training, 0-1.
    """

    def __init__(self, hidden: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(hidden, num_labels)

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch length num_labels"]:
        """One row of scores a token; zeros at padding."""
        return encoded.layout.pad(self.output(self.dropout(encoded.states)))


class SpanHead(nn.Module):
    """Scores every token as the start and as the end of an answer.

    Args:
        hidden: Width of the states.
        dropout: Share of values set to zero while training, 0-1; most families have none here.
    """

    def __init__(self, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(hidden, 2)

    def forward(self, encoded: Encoded) -> Float[Tensor, "batch length 2"]:
        """Start and end score of every token; zeros at padding."""
        return encoded.layout.pad(self.output(self.dropout(encoded.states)))


class DenseNorm(nn.Module):
    """Dense, GELU, norm: what states go through before a question is held against them.

    Args:
        hidden: Width of the states.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, states: Float[Tensor, "chosen hidden"]) -> Float[Tensor, "chosen hidden"]:
        """One row a state."""
        return self.norm(F.gelu(self.dense(states)))


class QuestionSpanHead(nn.Module):
    """Question-aware span selection (QASS): scores every token as the start and the end of the answer to a question, which is a token itself.

    The score of token i as the start of the answer to the question at q is `f(x_q)ᵀ S g(x_i)`, where `f` and `g` are a `DenseNorm` each; ends have
    an `f`, an `S` and a `g` of their own. A sequence may hold any number of questions: one when it is asked something, one for every hidden span
    while Splinter is pre-trained.

    Reference: Ram et al. 2021, "Few-Shot Question Answering by Pretraining Span Selection", section 4.

    Args:
        hidden: Width of the states.
        question_id: The token that stands for a question.
    """

    def __init__(self, hidden: int, question_id: int) -> None:
        super().__init__()
        self.question_id = question_id
        self.query_start, self.query_end = DenseNorm(hidden), DenseNorm(hidden)
        self.start, self.end = DenseNorm(hidden), DenseNorm(hidden)
        self.start_product, self.end_product = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)

    def questions(self, batch: Batch) -> Bool[Tensor, "batch length"]:
        """Where every sequence's question stands: at its first question token or, as in `transformers`, its first token where it has none."""
        real = batch.attention_mask.bool()
        asked = (batch.input_ids == self.question_id) & real
        candidates = torch.where(asked.any(1, keepdim=True), asked, real)
        return candidates & (candidates.cumsum(1) == 1)

    def forward(self, encoded: Encoded, questions: Bool[Tensor, "batch length"]) -> Float[Tensor, "questions length 2"]:
        """Start and end score, for every question, of every token of its sequence; minus infinity at padding.

        Args:
            encoded: The states.
            questions: Where questions stand. Rows come in reading order, so with one question a sequence there is one row a sequence.
        """
        asked, kept = encoded.at(questions), encoded.layout.kept()
        starts = self._scores(self.start_product(self.query_start(asked)), encoded.layout.pad(self.start(encoded.states)), questions)
        ends = self._scores(self.end_product(self.query_end(asked)), encoded.layout.pad(self.end(encoded.states)), questions)
        owners = questions.nonzero()[:, 0]
        return torch.stack([starts, ends], dim=2).masked_fill(~kept[owners, :, None], float("-inf"))

    @staticmethod
    def _scores(
        queries: Float[Tensor, "questions hidden"], tokens: Float[Tensor, "batch length hidden"], questions: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "questions length"]:
        """Products of questions with the tokens of their own sequences, by one multiplication: questions are laid out in a rectangle, too."""
        counts = questions.sum(1, keepdim=True)
        places = torch.arange(int(counts.max()), device=counts.device) < counts
        rectangle = queries.new_zeros(*places.shape, queries.shape[1])
        rectangle[places] = queries
        return (rectangle @ tokens.transpose(1, 2))[places]


def span_scores(head: nn.Module, encoded: Encoded, batch: Batch) -> Float[Tensor, "batch length 2"]:
    """What either kind of span head says of a batch with one question a sequence: start and end score of every token; not to be used at padding."""
    return head(encoded, head.questions(batch)) if isinstance(head, QuestionSpanHead) else head(encoded)


class Transform(nn.Module):
    """Dense, activation, norm: what stands below the last layer of some heads.

    Args:
        hidden: Width of the states.
        width: Of what comes out.
        activation: A name of `ACTIVATIONS`.
        epsilon: Of the layer norm.
        dense_bias: Whether the dense layer has one.
        norm_bias: Whether the norm has one.
    """

    def __init__(self, hidden: int, width: int, activation: str, epsilon: float, *, dense_bias: bool = True, norm_bias: bool = True) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, width, dense_bias)
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[activation]
        self.norm = nn.LayerNorm(width, eps=epsilon, bias=norm_bias)

    def transformed(self, states: Float[Tensor, "places hidden"]) -> Float[Tensor, "places width"]:
        """Any number of states."""
        return self.norm(self.activation(self.dense(states)))


class TransformedClassifier(Transform):
    """ModernBERT's heads: dense, activation, norm, dropout, linear; on one vector a sequence, or on every token.

    Args:
        hidden: Width of the states.
        num_labels: Scores a sequence or token.
        dropout: Share of values set to zero while training, 0-1.
        activation: A name of `ACTIVATIONS`.
        epsilon: Of the layer norm.
        pooling: Which vector: "cls", the first token's state, or "mean", that of all tokens' states; None for every token's own.
        dense_bias: Whether the dense layer has one.
        norm_bias: Whether the norm has one.
    """

    def __init__(
        self,
        hidden: int,
        num_labels: int,
        dropout: float,
        activation: str,
        epsilon: float,
        *,
        pooling: str | None = None,
        dense_bias: bool = True,
        norm_bias: bool = True,
    ) -> None:
        super().__init__(hidden, hidden, activation, epsilon, dense_bias=dense_bias, norm_bias=norm_bias)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(hidden, num_labels)
        self.pooling = pooling

    def forward(self, encoded: Encoded) -> Float[Tensor, "*places num_labels"]:
        """One row of scores a sequence, or a rectangle of them with zeros at padding."""
        if self.pooling is None:
            return encoded.layout.pad(self._scores(encoded.states))
        return self._scores(POOLINGS[self.pooling](encoded))

    def _scores(self, states: Tensor) -> Tensor:
        return self.output(self.dropout(self.transformed(states)))


class VocabularyHead(Transform):
    """The masked-language-model head: dense, activation, norm, then a score for every token of the vocabulary.

    The last step multiplies with the token embedding itself (tied weights), so the head owns a bias only. The embedding is held in a tuple, which
    keeps it from being registered here a second time.

    Args:
        embedding: The token embedding.
        activation: A name of `ACTIVATIONS`.
        epsilon: Of the layer norm.
        hidden: Width of the states, where it is another than that of the embedding (factorised embeddings).
        dense_bias: Whether the dense layer has one.
        norm_bias: Whether the norm has one.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        activation: str,
        epsilon: float,
        hidden: int | None = None,
        *,
        dense_bias: bool = True,
        norm_bias: bool = True,
    ) -> None:
        vocabulary, width = embedding.weight.shape
        super().__init__(hidden or width, width, activation, epsilon, dense_bias=dense_bias, norm_bias=norm_bias)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self._embedding = (embedding,)

    def forward(self, states: Float[Tensor, "chosen hidden"]) -> Float[Tensor, "chosen vocabulary"]:
        """Scores over the vocabulary for chosen states; take them with `Encoded.at`."""
        return F.linear(self.transformed(states), self._embedding[0].weight, self.bias)

    def loss(self, states: Float[Tensor, "chosen hidden"], labels: Int[Tensor, " chosen"]) -> Float[Tensor, ""]:
        """The cross-entropy of the right tokens, summed, in nats; see `vocabulary_loss`."""
        return vocabulary_loss(self.transformed(states), self._embedding[0].weight, self.bias, labels)


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

    def loss(self, states: Float[Tensor, "chosen hidden"], labels: Int[Tensor, " chosen"], smoothing: float = 0.0) -> Float[Tensor, ""]:
        """The cross-entropy of the right tokens, summed, in nats; see `vocabulary_loss`."""
        weight = self._embedding[0].weight
        bias = weight.new_zeros(len(weight)) if self.bias is None else self.bias[0]
        return vocabulary_loss(states, weight, bias, labels, smoothing)


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
