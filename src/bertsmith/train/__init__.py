"""Training: a short loop, the batches it is fed, what is kept of it, and the evaluation."""

from bertsmith.train.evaluation import Evaluation, evaluate
from bertsmith.train.loop import Training, TrainResult
from bertsmith.train.options import TrainOptions

__all__ = ["Evaluation", "TrainOptions", "TrainResult", "Training", "evaluate"]
