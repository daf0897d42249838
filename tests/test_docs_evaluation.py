"""docs/evaluation.md: its code runs, and it documents every metric."""

from __future__ import annotations

import pytest
from doc_blocks import DOCS, run_block
from made_predictions import drawn

import cnnrecipes as cr


def test_numbers_block_runs(digits_run):
    path = {"runs/2026-11-30_resnet8_digits_1": str(digits_run.folder)}
    names = run_block("evaluation.md", "Numbers", path)
    assert names["evaluation"] == digits_run.metrics["validation"]
    assert len(names["classes"]) == 10


@pytest.mark.parametrize("heading", ["Kept predictions", "Calibration", "Abstaining"])
def test_blocks_run(digits_run, heading):
    run_block("evaluation.md", heading, run=digits_run, cr=cr)


def test_page_documents_every_metric():
    page = (DOCS / "evaluation.md").read_text(encoding="utf-8")
    metrics = cr.classification_metrics(drawn(60, 6, groups=[str(i // 10) for i in range(60)]), 1.5)
    assert [key for key in metrics if key not in ("split", "n") and f"`{key}`" not in page] == []
