"""Figures, each drawn from a tidy frame that is kept beside it as CSV.

:mod:`style` holds what they share, :mod:`material` what they are drawn from; each of the others draws one or two
kinds. Which figures a study has is decided in :mod:`study.reporting.plots`.
"""

from study.reporting.figures.material import FigureMaterial, Sheet
from study.reporting.figures.style import FigureFiles, save_figure

__all__ = ["FigureFiles", "FigureMaterial", "Sheet", "save_figure"]
