"""The report of a run: one HTML page that stands alone, made from what the run left in its folder."""

from bertsmith.report.page import render, write_report
from bertsmith.report.records import Run, StageRecord, read_run

__all__ = ["Run", "StageRecord", "read_run", "render", "write_report"]
