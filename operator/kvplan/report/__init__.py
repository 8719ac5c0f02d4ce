"""Shows a plan: as data, as Markdown, as one HTML file with charts, and as the tables that both are made of."""

from kvplan.report.data import as_json, read_json
from kvplan.report.html import html
from kvplan.report.markdown import markdown

__all__ = ["as_json", "html", "markdown", "read_json"]
