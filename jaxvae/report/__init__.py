"""Figures, tables, pages and progress bars, which all reports share."""

from jaxvae.report.gallery import draw_gallery as draw_gallery
from jaxvae.report.measurement import as_records as as_records
from jaxvae.report.measurement_figures import draw_measurements as draw_measurements
from jaxvae.report.progress import sweep_progress as sweep_progress
