"""The chain: against all paths counted one by one, and against numbers worked out by hand."""

from itertools import pairwise, product
from math import exp, log

import pytest
import torch
from torch import Tensor

from bertsmith.layers.crf import Chain, best_paths, log_likelihoods, log_partitions, marginals, path_scores, with_edges

LENGTHS = (4, 1, 3, 2)


def random_batch(tags: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores with nonsense at padding, which places are kept, transitions, and edges; in float64."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    scores = torch.randn(len(LENGTHS), max(LENGTHS), tags, generator=generator, dtype=torch.float64)
    scores[~kept] = 1e6
    return scores, kept, *(torch.randn(rows, tags, generator=generator, dtype=torch.float64) for rows in (tags, 2))


def every_path(scores: Tensor, transitions: Tensor) -> dict[tuple[int, ...], float]:
    """All paths over one sequence with their scores, added up in the plainest way."""
    length, tags = scores.shape
    found: dict[tuple[int, ...], float] = {}
    for path in product(range(tags), repeat=length):
        own = sum(float(scores[place, tag]) for place, tag in enumerate(path))
        found[path] = own + sum(float(transitions[before, after]) for before, after in pairwise(path))
    return found


class TestByHand:
    """Two tokens, two tags: the paths 00, 01, 10 and 11 score 1.5, 1.5, 0 and 1."""

    SCORES = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    TRANSITIONS = torch.tensor([[0.5, -0.5], [0.0, 0.0]])
    KEPT = torch.ones(1, 2, dtype=torch.bool)
    TOTAL = 2 * exp(1.5) + 1 + exp(1)

    @pytest.mark.parametrize(("path", "score"), [((0, 0), 1.5), ((0, 1), 1.5), ((1, 0), 0.0), ((1, 1), 1.0)])
    def test_a_path(self, path: tuple[int, int], score: float):
        assert path_scores(self.SCORES, self.KEPT, self.TRANSITIONS, torch.tensor([path])).item() == score
        likelihood = log_likelihoods(self.SCORES, self.KEPT, self.TRANSITIONS, torch.tensor([path])).item()
        assert likelihood == pytest.approx(score - log(self.TOTAL))

    def test_the_sum_over_all(self):
        assert log_partitions(self.SCORES, self.KEPT, self.TRANSITIONS).item() == pytest.approx(log(self.TOTAL))

    def test_the_probability_of_a_tag(self):
        first = 2 * exp(1.5) / self.TOTAL
        second = (exp(1.5) + 1) / self.TOTAL
        expected = torch.tensor([[[first, 1 - first], [second, 1 - second]]])
        torch.testing.assert_close(marginals(self.SCORES, self.KEPT, self.TRANSITIONS), expected)

    def test_the_edges_decide_between_equals(self):
        edges = torch.tensor([[0.0, 0.0], [0.0, 0.1]])
        for whole, path in (([True, True], [0, 1]), ([False, True], [0, 1]), ([True, False], [0, 0])):
            scores = with_edges(self.SCORES, self.KEPT, edges, torch.tensor([whole]))
            assert best_paths(scores, self.KEPT, self.TRANSITIONS).tolist() == [path]


@pytest.mark.parametrize("seed", range(5))
class TestAgainstAllPaths:
    def test_sum_best_and_marginals(self, seed: int):
        scores, kept, transitions, _ = random_batch(seed=seed)
        totals, best, shares = log_partitions(scores, kept, transitions), best_paths(scores, kept, transitions), marginals(scores, kept, transitions)
        for row, length in enumerate(LENGTHS):
            paths = every_path(scores[row, :length], transitions)
            total = sum(exp(score) for score in paths.values())
            assert totals[row].item() == pytest.approx(log(total))
            assert tuple(best[row, :length].tolist()) == max(paths, key=paths.__getitem__)
            for place, tag in product(range(length), range(3)):
                share = sum(exp(score) for path, score in paths.items() if path[place] == tag) / total
                assert shares[row, place, tag].item() == pytest.approx(share)

    def test_edges_are_added_where_a_sequence_really_begins_and_ends(self, seed: int):
        scores, kept, _, edges = random_batch(seed=seed)
        whole = torch.tensor([[True, True], [True, True], [True, False], [False, True]])
        added = (with_edges(scores, kept, edges, whole) - scores)[kept]
        nothing = torch.zeros(3, dtype=torch.float64)
        expected = [edges[0], nothing, nothing, edges[1], edges[0] + edges[1], edges[0], nothing, nothing, nothing, edges[1]]
        torch.testing.assert_close(added, torch.stack(expected), atol=1e-9, rtol=0)


def test_the_gradient_of_the_sum_is_the_probability_of_a_tag():
    scores, kept, transitions, _ = random_batch()
    scores.requires_grad_()
    log_partitions(scores, kept, transitions).sum().backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad[kept], marginals(scores.detach(), kept, transitions)[kept])
    assert not scores.grad[~kept].any()


def test_the_gradients_of_the_likelihood_are_those_of_small_differences():
    scores, kept, transitions, edges = random_batch()
    scores[~kept] = 0.0
    path, whole = torch.tensor([[0, 1, 2, 2], [2, 0, 0, 0], [1, 1, 0, 0], [0, 2, 0, 0]]), torch.ones(4, 2, dtype=torch.bool)

    def likelihood(scores: Tensor, transitions: Tensor, edges: Tensor) -> Tensor:
        return log_likelihoods(with_edges(scores, kept, edges, whole), kept, transitions, path)

    assert torch.autograd.gradcheck(likelihood, tuple(part.requires_grad_() for part in (scores, transitions, edges)))


def test_the_likelihoods_of_all_paths_add_up_to_one():
    scores, _, transitions, _ = random_batch()
    kept = torch.ones(1, 4, dtype=torch.bool)
    paths = torch.tensor(list(product(range(3), repeat=4)))
    total = sum(log_likelihoods(scores[:1], kept, transitions, path[None]).exp().item() for path in paths)
    assert total == pytest.approx(1.0)


def test_what_is_forbidden_is_not_taken_and_has_no_probability():
    scores, kept, transitions, edges = random_batch()
    transitions[0, 1] = transitions[2, 2] = edges[0, 0] = -torch.inf
    chained = with_edges(scores, kept, edges, torch.ones(4, 2, dtype=torch.bool))
    best, shares = best_paths(chained, kept, transitions), marginals(chained, kept, transitions)
    for row, length in enumerate(LENGTHS):
        path = best[row, :length].tolist()
        assert path[0] != 0
        assert not {(0, 1), (2, 2)} & set(pairwise(path))
        paths = every_path(chained[row, :length], transitions)
        assert tuple(path) == max(paths, key=paths.__getitem__)
        torch.testing.assert_close(shares[row, :length].sum(1), torch.ones(length, dtype=torch.float64))
        assert shares[row, 0, 0] == 0


def test_a_sequence_without_tokens_has_no_loss():
    scores, transitions = torch.randn(2, 3, 2, requires_grad=True), torch.randn(2, 2)
    kept = torch.tensor([[False] * 3, [True] * 3])
    likelihoods = log_likelihoods(scores, kept, transitions, torch.zeros(2, 3, dtype=torch.long))
    assert likelihoods[0] == 0
    likelihoods.sum().backward()
    assert scores.grad is not None
    assert not scores.grad[0].any()
    assert scores.grad[1].any()


def test_a_chain_has_a_row_for_every_tag_and_two_edges():
    chain = Chain(5)
    assert {name: tuple(weight.shape) for name, weight in chain.named_parameters()} == {"transitions.weight": (5, 5), "edges.weight": (2, 5)}
