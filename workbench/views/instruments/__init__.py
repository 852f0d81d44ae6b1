"""Instruments: controls over a plain, tested function, with a static figure first."""

from workbench.views.instruments.beta_explorer import beta_explorer
from workbench.views.instruments.shell import Instrument
from workbench.views.instruments.token_microscope import token_microscope

__all__ = ["Instrument", "beta_explorer", "token_microscope"]
