import dataclasses
import io
from pathlib import Path

from rich.console import Console

from bertsmith.cli.run_tables import run_table
from bertsmith.recipe.result import RunResult, StageResult

EMPTY = {"str": "", "bool": False, "int": 0, "float": 0.0, "list[str]": []}
"""Values of the fields that the table does not show."""

PART = {"kept_step": 90, "epochs": 1.0, "gains": []}
MIXTURE = StageResult.from_dict(
    {
        **{item.name: EMPTY.get(str(item.type), {}) for item in dataclasses.fields(StageResult)},
        "name": "together",
        "start": "base",
        "objective": "mixture",
        "steps": 90,
        "metrics": {"valid": {"raw.loss": 3.0, "mean": 0.5}, "test": {"reviews.accuracy": 0.875, "mean": 0.875}},
        "seconds": {"train": 61.0},
        "parts": {"reviews": {**PART, "objective": "single", "steps": 60}, "raw": {**PART, "objective": "mlm", "steps": 30}},
    }
)


def test_every_part_of_a_stage_has_a_row_with_its_own_steps_and_metrics():
    assert MIXTURE is not None
    console = Console(file=io.StringIO(), width=150)
    console.print(run_table(RunResult(folder=Path("out"), seed=1, stages=(MIXTURE,))))
    assert isinstance(console.file, io.StringIO)
    rows = [" ".join(line.split()) for line in console.file.getvalue().splitlines()[1:]]
    assert rows == [
        "together base mixture 90 0 1:01 test mean=0.8750",
        "· reviews single 60 test accuracy=0.8750",
        "· raw mlm 30 valid loss=3.0000",
    ]
