"""Heads: each computes what its name says, from the states it needs and no others."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.core.types import Batch
from bertsmith.layers.activations import ACTIVATIONS
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.heads import DenseClassifier, PooledClassifier, QuestionSpanHead, SpanHead, TokenClassifier, VocabularyHead, span_scores
from bertsmith.layers.layout import Encoded, Layout

MASK = torch.tensor([[1, 1, 1], [0, 1, 0]])
LAYOUT = Layout.of(MASK)


def encoded(change: Tensor | None = None) -> Encoded:
    states = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    return Encoded(states if change is None else states + change, LAYOUT)


@pytest.mark.parametrize("head", [PooledClassifier(6, 3, 0.0), DenseClassifier(6, 3, 0.0)])
def test_a_sentence_head_looks_at_first_tokens_alone(head: nn.Module):
    change = torch.ones(4, 6)
    change[LAYOUT.firsts] = 0
    assert torch.equal(head(encoded()), head(encoded(change)))
    assert not torch.allclose(head(encoded()), head(encoded(torch.eye(4, 6))))
    assert head(encoded()).shape == (2, 3)


def test_the_pooled_classifier_by_hand():
    head = PooledClassifier(6, 3, 0.0)
    pooled = torch.tanh(encoded().first() @ head.pooler.dense.weight.T + head.pooler.dense.bias)
    torch.testing.assert_close(head(encoded()), pooled @ head.output.weight.T + head.output.bias)


@pytest.mark.parametrize("head", [TokenClassifier(6, 5, 0.0), SpanHead(6)])
def test_a_token_head_scores_every_token_and_no_padding(head: nn.Module):
    scores = head(encoded())
    assert scores.shape[:2] == (2, 3)
    assert (scores[MASK == 0] == 0).all()
    assert (scores[MASK == 1] != 0).any(1).all()


@pytest.mark.parametrize("head", [PooledClassifier(6, 3, 0.5), DenseClassifier(6, 3, 0.5), TokenClassifier(6, 3, 0.5), SpanHead(6, 0.5)])
def test_dropout_acts_while_training_only(head: nn.Module):
    head.train()
    assert not torch.equal(head(encoded()), head(encoded()))
    head.eval()
    assert torch.equal(head(encoded()), head(encoded()))


class TestQuestionSpanHead:
    head = QuestionSpanHead(6, question_id=9)

    def batch(self, rows: list[list[int]]) -> Batch:
        """Token ids of rows of three places; 0 is padding."""
        input_ids = torch.tensor(rows)
        return Batch(input_ids, (input_ids > 0).long(), torch.zeros_like(input_ids))

    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            ([[1, 9, 2], [0, 9, 0]], [[0, 1, 0], [0, 1, 0]]),
            ([[9, 2, 9], [0, 1, 9]], [[1, 0, 0], [0, 0, 1]]),
            ([[1, 2, 3], [0, 1, 2]], [[1, 0, 0], [0, 1, 0]]),
        ],
        ids=["one", "the first of several", "none, so the first token"],
    )
    def test_where_questions_stand(self, rows: list[list[int]], expected: list[list[int]]):
        assert self.head.questions(self.batch(rows)).tolist() == torch.tensor(expected).bool().tolist()

    def test_a_question_token_at_padding_is_none(self):
        batch = Batch(torch.tensor([[1, 2, 9]]), torch.tensor([[1, 1, 0]]), torch.zeros(1, 3, dtype=torch.long))
        assert self.head.questions(batch).tolist() == [[True, False, False]]

    def test_scores_by_hand(self):
        asked = torch.tensor([[True, False, True], [False, True, False]])
        states = encoded().padded()
        scores = self.head(encoded(), asked)
        assert scores.shape == (3, 3, 2)
        for number, (row, column) in enumerate([(0, 0), (0, 2), (1, 1)]):
            query = self.head.query_start(states[row, column][None])[0] @ self.head.start_product.weight.T
            for place in range(3):
                if MASK[row, place]:
                    torch.testing.assert_close(scores[number, place, 0], query @ self.head.start(states[row, place][None])[0])
                else:
                    assert scores[number, place].isneginf().all()
        inner = F.gelu(states[0] @ self.head.end.dense.weight.T + self.head.end.dense.bias)
        torch.testing.assert_close(self.head.end(states[0]), F.layer_norm(inner, (6,)))

    def test_starts_and_ends_have_layers_of_their_own(self):
        asked = torch.tensor([[True, False, False], [False, True, False]])
        scores = self.head(encoded(), asked)
        assert not torch.allclose(scores[0, :, 0], scores[0, :, 1])

    def test_both_kinds_of_span_heads_are_asked_alike(self):
        batch = self.batch([[1, 9, 2], [0, 9, 0]])
        plain = SpanHead(6)
        assert torch.equal(span_scores(plain, encoded(), batch), plain(encoded()))
        assert torch.equal(span_scores(self.head, encoded(), batch), self.head(encoded(), self.head.questions(batch)))
        assert span_scores(self.head, encoded(), batch).shape == (2, 3, 2)


class TestVocabularyHead:
    def test_it_scores_with_the_token_embedding_itself(self):
        embedding = nn.Embedding(10, 6)
        head = VocabularyHead(embedding, "relu", 1e-5)
        states = torch.randn(3, 6)
        inner = F.layer_norm(F.relu(states @ head.dense.weight.T + head.dense.bias), (6,), eps=1e-5)
        torch.testing.assert_close(head(states), inner @ embedding.weight.T + head.bias)

    def test_the_embedding_is_not_a_second_parameter(self):
        head = VocabularyHead(nn.Embedding(10, 6), "gelu", 1e-5)
        assert set(head.state_dict()) == {"dense.weight", "dense.bias", "norm.weight", "norm.bias", "bias"}

    def test_a_copy_of_a_model_is_tied_to_its_own_embedding(self):
        both = nn.ModuleDict({"embedding": nn.Embedding(10, 6)})
        embedding = both["embedding"]
        assert isinstance(embedding, nn.Embedding)
        both["head"] = VocabularyHead(embedding, "gelu", 1e-5)
        again = copy.deepcopy(both)
        with torch.no_grad():
            embedding.weight.zero_()
        assert (both["head"](torch.ones(1, 6)) == 0).all()
        assert (again["head"](torch.ones(1, 6)) != 0).any()

    def test_gradients_reach_the_embedding(self):
        embedding = nn.Embedding(10, 6)
        VocabularyHead(embedding, "gelu", 1e-5)(torch.randn(2, 6)).sum().backward()
        assert embedding.weight.grad is not None
        assert embedding.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_feed_forward_widens_activates_and_narrows(name: str):
    module = FeedForward(6, 10, name)
    states = torch.randn(4, 6)
    torch.testing.assert_close(module(states), module.narrow(ACTIVATIONS[name](module.widen(states))))
    assert module.widen.weight.shape == (10, 6)
    assert module.activation_name == name


def test_activations_by_hand():
    x = torch.linspace(-4, 4, 41)
    tanh = 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    torch.testing.assert_close(ACTIVATIONS["gelu"](x), x * 0.5 * (1 + torch.erf(x / 2**0.5)))
    torch.testing.assert_close(ACTIVATIONS["gelu_new"](x), tanh)
    torch.testing.assert_close(ACTIVATIONS["gelu_pytorch_tanh"](x), tanh)
    torch.testing.assert_close(ACTIVATIONS["silu"](x), x * x.sigmoid())
