"""Preference optimisation and RLHF held against exact answers, in Jupyter.

Start with `notebooks/00_start_here.ipynb` (`make lab`), or with `METHODS.md`.
"""

__version__ = "0.1.0"
