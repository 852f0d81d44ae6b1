"""Every kind of figure, by name."""

import pytest

from tests.views import frames
from workbench import views

CAPTION = "Gold falls <after> the peak."


def gallery() -> dict[str, views.Fig]:
    """One figure of each kind."""
    words, said = frames.tokens(), {"caption": CAPTION}
    one = words[words["row"] == 0]
    run, exact = frames.training(), frames.curve()
    return {
        "implicit_rewards": views.implicit_rewards(run, **said),
        "token_bars": views.token_rewards(one, **said),
        "token_heat": views.token_rewards(words, by="row", **said),
        "kl_drift": views.kl_drift(run, estimates=frames.estimates(), **said),
        "kl_seeds": views.kl_drift(run, estimates=frames.estimates(3), **said),
        "overoptimisation": views.overoptimisation(
            frames.curve(3), laws={"law": lambda d: 2 * d}, exact=exact, **said
        ),
        "frontier": views.frontier(frames.points(), exact, **said),
        "reliability": views.reliability(frames.bins(), **said),
        "simplex": views.simplex(frames.spiral(), (1 / 3, 1 / 3, 1 / 3), **said),
        "training": views.training_curves(run, {"loss": "loss (nats)"}, **said),
        "bars": views.bars(run, "step", "kl", label="KL (nats)", **said),
        "sweep": views.sweep(
            frames.swept(),
            "flip",
            {"gold": "gold reward (reward units)", "kl": "KL(π‖π_ref) (nats)"},
            "method",
            exact={"gold": frames.swept(1), "kl": 1.2},
            **said,
        ),
        "points": views.points(frames.arena(), frames.curve(1, 0.1), **said),
        "displacement": views.displacement(
            frames.displaced(), {"good": "score", "bad": "score"}, rejected=True, **said
        ),
        "unseen_mass": views.unseen_mass(
            frames.unseen(),
            against=("margin", "margin (reward units)"),
            start=0.3,
            **said,
        ),
        "distribution": views.distribution(
            {"chosen": [0.0, 1.0, 1.0], "rejected": [2.0, 3.0]},
            label="reward (reward units)",
            marks={"mean": 1.4},
            **said,
        ),
    }


@pytest.fixture(scope="session")
def figures() -> dict[str, views.Fig]:
    """The gallery, drawn once."""
    return gallery()
