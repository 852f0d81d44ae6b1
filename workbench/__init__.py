"""Preference optimisation and RLHF held against exact answers, in Jupyter.

Start with `notebooks/00_start_here.ipynb` (`make lab`), or with `METHODS.md`.
"""

__version__ = "0.1.0"

import sys as _sys

if "ipykernel" in _sys.modules:  # in a notebook: no stranger's warning in a cell
    from workbench.core.notes import listen as _listen

    _listen()
