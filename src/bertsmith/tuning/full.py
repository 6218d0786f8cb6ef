"""Ordinary fine-tuning."""

from dataclasses import dataclass
from typing import ClassVar

from bertsmith.tuning.base import Tuning, tunings


@tunings.register("full")
@dataclass(frozen=True, kw_only=True)
class Full(Tuning):
    """Train every weight, with one learning rate: ordinary fine-tuning.

    Use when:
        You have a few hundred labels or more. It is the baseline that everything else is measured against.

    Reference:
        Devlin et al. 2019, section 4.

    Example:
        >>> Full().name
        'full'
    """

    name: ClassVar = "full"
