"""Conformance checks: what everything of a kind must be able to do, for our own tests and for anybody who adds to this package.

Each check builds a tiny random model, takes seconds, needs no network, and raises `AssertionError` with what it found:

    from bertsmith.testing import check_task

    def test_my_task():
        check_task("my_task", examples=[...])
"""

from bertsmith.testing.family import Peer, check_family
from bertsmith.testing.objective import check_objective
from bertsmith.testing.task import check_task
from bertsmith.testing.tuning import check_tuning

__all__ = ["Peer", "check_family", "check_objective", "check_task", "check_tuning"]
