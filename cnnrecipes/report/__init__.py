"""The report of a run: one HTML file with the answer first, and the comparison of several runs."""

from cnnrecipes.report.comparison import write_comparison
from cnnrecipes.report.notebook import confusion_inline, losses_inline, report_inline
from cnnrecipes.report.writing import write_report

__all__ = ["confusion_inline", "losses_inline", "report_inline", "write_comparison", "write_report"]
