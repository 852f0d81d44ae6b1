"""Instruments: controls over a plain, tested function.

An instrument is three things in one module: a pure function from the controls' values
to numbers (`…_state`, a frame or a dataclass), a pure function from those to a
:class:`workbench.views.fig.Fig` whose caption says what is seen, and a function that
joins them to :class:`controls.Control` objects in an :class:`shell.Instrument`. A move
takes at most a tenth of a second (`benchmarks/instruments.py`), and the states of the
controls' grids fit a page (`states.MOST`).
"""

from workbench.views.instruments.beta_explorer import beta_explorer
from workbench.views.instruments.divergence_explorer import divergence_explorer
from workbench.views.instruments.influence_explorer import influence_explorer
from workbench.views.instruments.link_explorer import link_explorer
from workbench.views.instruments.peak_explorer import peak_explorer
from workbench.views.instruments.shell import Instrument
from workbench.views.instruments.start_explorer import start_explorer
from workbench.views.instruments.token_microscope import token_microscope
from workbench.views.instruments.walk_explorer import walk_explorer

__all__ = [
    "Instrument",
    "beta_explorer",
    "divergence_explorer",
    "influence_explorer",
    "link_explorer",
    "peak_explorer",
    "start_explorer",
    "token_microscope",
    "walk_explorer",
]
