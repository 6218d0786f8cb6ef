"""Messages that name everything that is wrong, and an end to very long ones."""

import pytest

from bertsmith.core import errors
from bertsmith.core.errors import BertsmithError, CheckpointError, DataError, MissingExtraError, RecipeError, UnknownNameError, UserError


def test_all_problems_are_kept_and_the_message_shows_the_first_twenty():
    problems = [f"a.tsv:{line}: no label" for line in range(1, 31)]
    error = DataError("30 lines cannot be used", problems)
    assert error.problems == tuple(problems)
    lines = str(error).splitlines()
    assert lines[0] == "30 lines cannot be used"
    assert lines[1] == "  a.tsv:1: no label"
    assert lines[-1] == "  … and 10 more"
    assert len(lines) == 1 + errors.SHOWN_PROBLEMS + 1


def test_twenty_problems_are_all_shown():
    assert "more" not in str(DataError("bad", ["x"] * errors.SHOWN_PROBLEMS))


def test_a_summary_alone_is_the_message():
    assert str(CheckpointError("no weights")) == "no weights"


@pytest.mark.parametrize("kind", [DataError, CheckpointError, RecipeError, UnknownNameError])
def test_a_users_mistake_can_be_caught_as_such_and_as_a_value_error(kind: type[UserError]):
    assert issubclass(kind, UserError)
    assert issubclass(kind, ValueError)
    assert issubclass(kind, BertsmithError)


def test_an_interrupted_run_is_no_mistake_of_the_users():
    assert not issubclass(errors.InterruptedRunError, UserError)


def test_a_missing_extra_says_what_to_install():
    assert str(MissingExtraError("a chart", "report")) == "a chart needs the extra 'report': pip install 'bertsmith[report]'"
