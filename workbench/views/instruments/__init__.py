"""Instruments: controls over a plain, tested function.

An instrument is three things in one module: a pure function from the controls' values
to numbers (`…_state`, a frame or a dataclass), a pure function from those to a
:class:`workbench.views.fig.Fig` whose caption says what is seen, and a function that
joins them to :class:`controls.Control` objects in an :class:`shell.Instrument`. A move
takes at most a tenth of a second (`benchmarks/instruments.py`), and the states of the
controls' grids fit a page (`states.MOST`).
"""

from workbench.views.instruments.annotator_desk import annotator
from workbench.views.instruments.audit_explorer import audit_explorer
from workbench.views.instruments.baseline_explorer import baseline_explorer
from workbench.views.instruments.best_of_n_dial import best_of_n_dial
from workbench.views.instruments.beta_explorer import beta_explorer
from workbench.views.instruments.cycle_explorer import cycle_explorer
from workbench.views.instruments.divergence_explorer import divergence_explorer
from workbench.views.instruments.dpo_playground import dpo_playground
from workbench.views.instruments.fault_switchboard import fault_switchboard
from workbench.views.instruments.gae_explorer import gae_explorer
from workbench.views.instruments.influence_explorer import influence_explorer
from workbench.views.instruments.length_explorer import length_explorer
from workbench.views.instruments.link_explorer import link_explorer
from workbench.views.instruments.list_explorer import list_explorer
from workbench.views.instruments.mask_viewer import mask_viewer
from workbench.views.instruments.noise_explorer import noise_explorer
from workbench.views.instruments.peak_explorer import peak_explorer
from workbench.views.instruments.reliability_explorer import reliability_explorer
from workbench.views.instruments.shell import Instrument
from workbench.views.instruments.start_explorer import start_explorer
from workbench.views.instruments.stop_explorer import stop_explorer
from workbench.views.instruments.thumb_explorer import thumb_explorer
from workbench.views.instruments.token_microscope import token_microscope
from workbench.views.instruments.tree_walk import tree_walk
from workbench.views.instruments.walk_explorer import walk_explorer

__all__ = [
    "Instrument",
    "annotator",
    "audit_explorer",
    "baseline_explorer",
    "best_of_n_dial",
    "beta_explorer",
    "cycle_explorer",
    "divergence_explorer",
    "dpo_playground",
    "gae_explorer",
    "fault_switchboard",
    "influence_explorer",
    "length_explorer",
    "link_explorer",
    "list_explorer",
    "mask_viewer",
    "noise_explorer",
    "peak_explorer",
    "reliability_explorer",
    "start_explorer",
    "stop_explorer",
    "thumb_explorer",
    "token_microscope",
    "tree_walk",
    "walk_explorer",
]
