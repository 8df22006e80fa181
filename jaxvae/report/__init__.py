"""Records -> figures, tables and what the terminal shows."""

from jaxvae.report.bottleneck import conclusion as conclusion
from jaxvae.report.bottleneck import draw_figures as draw_figures
from jaxvae.report.bottleneck import summary as summary
from jaxvae.report.bottleneck import sweep_table as sweep_table
from jaxvae.report.progress import sweep_progress as sweep_progress
