"""One HTML page that says how a run went: `write_report(data, path)`."""

from rayrank.report.data import ReportData
from rayrank.report.page import write_report

__all__ = ["ReportData", "write_report"]
