"""What to do about a pre-trained head that a model does not have: continue pre-training with the objective that trains it.

The published Chinese-BERT-wwm models, for instance, come without the weights that predict hidden tokens, and so do sentence-embedding models. A
random head would fill a `[MASK]` with noise.
"""

from __future__ import annotations

from bertsmith.core.literals import literal
from bertsmith.objectives.base import objectives

DOES = {"mlm": "fill a hidden token", "lm": "foretell the next token"}
"""What some heads are there to do, in words."""


def recipe_for(head: str, model: str) -> str | None:
    """The recipe that gives a model a trained head; None where no objective here trains it.

    Args:
        head: The head that it lacks: "mlm".
        model: Its folder or name.

    Example:
        >>> print(recipe_for("mlm", "hfl/chinese-bert-wwm"))
        [[stage]]
        name = "adapt"
        from = "hfl/chinese-bert-wwm"
        objective = "mlm"
        data = { train = "texts/*.txt" }
        train = { steps = 2000, batch_tokens = 4096, learning_rate = 1e-4 }
    """
    trained = {name: kind().heads() for name, kind in objectives.items()}
    able = sorted((len(heads), name) for name, heads in trained.items() if head in heads)
    if not able:
        return None
    return (
        f'[[stage]]\nname = "adapt"\nfrom = {literal(model)}\nobjective = {literal(able[0][1])}\n'
        'data = { train = "texts/*.txt" }\ntrain = { steps = 2000, batch_tokens = 4096, learning_rate = 1e-4 }'
    )


def without_head(head: str, model: str) -> str:
    """That a model lacks a head, and how it gets one: in one line, and where an objective trains it, the recipe below.

    Args:
        head: The head that it lacks: "mlm".
        model: Its folder or name.
    """
    lacking = f"{model} holds no trained {head} head" + (f", so it cannot {DOES[head]}" if head in DOES else "")
    if (recipe := recipe_for(head, model)) is None:
        return f"{lacking}; take a model that has one"
    way_out = "Continue pre-training first, on raw text of your own: `bertsmith run adapt.toml` with these lines, then use runs/adapt/model"
    return f"{lacking}. {way_out}\n\n{recipe}"
