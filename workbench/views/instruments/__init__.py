"""Instruments: controls over a plain, tested function, with a static figure first."""

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
