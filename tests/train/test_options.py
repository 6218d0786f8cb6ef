import pytest

from bertsmith.train.options import TrainOptions
from bertsmith.train.schedule import schedule


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 8, "batch_tokens": 100}, "both given"),
        ({"learning_rate": -1e-5}, "learning_rate is -1e-05"),
        ({"warmup_rate": 1.5}, "between 0 and 1"),
        ({"keep": "worst"}, "keep is 'worst'"),
        ({"epochs": 1e9}, "epochs is 1,000,000,000.0; it must be at most 100,000"),
        ({"steps": 10**10}, "steps is 10,000,000,000; it must be at most 1,000,000,000"),
        ({"clip": -1.0}, "must not be negative"),
    ],
)
def test_impossible_options_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TrainOptions(**wrong)


def test_linear_schedule_equals_the_official_one():
    import torch
    from transformers import get_linear_schedule_with_warmup

    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    official = get_linear_schedule_with_warmup(optimiser, 10, 97)
    ours = schedule(TrainOptions(warmup_rate=10 / 97), 97)
    for step in range(97):
        assert ours(step) == pytest.approx(official.get_last_lr()[0])
        optimiser.step()
        official.step()


def test_cosine_ends_at_zero_and_constant_does_not():
    assert schedule(TrainOptions(schedule="cosine", warmup_rate=0), 100)(100) == pytest.approx(0)
    assert schedule(TrainOptions(schedule="cosine", warmup_rate=0), 100)(50) == pytest.approx(0.5)
    assert schedule(TrainOptions(schedule="constant", warmup_rate=0.1), 100)(99) == 1
