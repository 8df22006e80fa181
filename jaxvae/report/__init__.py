"""Figures, tables, pages and progress bars, which all reports share."""
