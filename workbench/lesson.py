"""What a lesson begins with: ``from workbench.lesson import *``.

The names, and where they live:

=================  ==================================================================
name               what it is
=================  ==================================================================
np, pd, torch      numpy, pandas, PyTorch
display, Markdown  IPython's: show a value; text with formulas
say                show a sentence in which numbers stand
sizes              the settings of a profile (ci, lecture, figure)
teach              show source, check a loss, predict, answer, judge a claim
views              figures
generator          ``core.seeds``: random numbers from a seed and a purpose
Reviews            ``worlds.reviews``: the world of short film reviews
solutions          ``worlds.solutions``: π*, Z, KL, frontiers, exactly
tiny               ``models.tiny``: small decoders, and the reference policy
Annotator          ``feedback.annotator``: who labels, with noise or bias
Pairs              ``feedback.kinds.pairs``: a data set of pairs
sample_pairs       the same: draw responses and have them labelled
offline            ``loops.offline``: train a policy on a data set
exact              ``measure.exact``: KL, gold, distance to π*, over all responses
=================  ==================================================================

What a lesson is about, such as its method, it imports itself.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from workbench import teach, views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.loops import offline
from workbench.measure import exact
from workbench.models import tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

__all__ = [
    "Annotator",
    "Markdown",
    "Pairs",
    "Reviews",
    "display",
    "exact",
    "generator",
    "np",
    "offline",
    "pd",
    "sample_pairs",
    "say",
    "sizes",
    "solutions",
    "teach",
    "tiny",
    "torch",
    "views",
]

PROFILES = ("ci", "lecture", "figure")


def sizes(profile: str, **settings: tuple) -> SimpleNamespace:
    """The settings of one profile.

    ``sizes("lecture", steps=(4, 200, 1000)).steps`` is 200.

    Args:
        profile: ci (does it run?), lecture (a minute on a laptop) or figure (a GPU).
        settings: name to its value under each of the three.

    Raises:
        ValueError: an unknown profile, or not three values.
    """
    if profile not in PROFILES:
        raise ValueError(f"PROFILE is one of {', '.join(PROFILES)}, not {profile!r}")
    for name, values in settings.items():
        if len(values) != len(PROFILES):
            raise ValueError(f"{name} needs a value for each of {', '.join(PROFILES)}")
    at = PROFILES.index(profile)
    return SimpleNamespace(**{name: values[at] for name, values in settings.items()})


def say(text: str) -> None:
    """Show a sentence in which numbers stand: Markdown, formulas between dollars.

    A ``*`` of π* is no emphasis.
    """
    display(Markdown(text.replace("π*", "π\\*")))
