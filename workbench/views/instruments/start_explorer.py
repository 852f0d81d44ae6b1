"""The start explorer: one end of fine-tuning, many starts, and the signs they give.

Supervised fine-tuning on chosen responses ends at their distribution p_c, wherever it
starts. Under a distribution p the mean log-ratio to the start π₀ is then
KL(p‖π₀) − KL(p‖p_c). The starts are π₀ ∝ μ^a, with μ the policy that wrote the pairs.
On the way the steps of a table show where its mass goes.
"""

from functools import cache

from jaxtyping import Float
from torch import Tensor

from workbench.views.fig import Fig
from workbench.views.instruments.controls import Choice, Slider
from workbench.views.instruments.sft_path import (
    POWERS,
    STEPS,
    groups,
    mass_path,
    sft_tables,
    start_path,
)
from workbench.views.instruments.shell import Instrument
from workbench.views.instruments.start_figure import listed_reviews, start_figure

FEW_POWERS, FEW_STEPS = (0.0, 0.5, 1.0), (1, 20, 100, 1000)
Table = Float[Tensor, "prompt response"]


def start_explorer(
    world,
    writer: Table,
    chosen: Table,
    rejected: Table,
    *,
    a: float | int = 0.5,
    step: int = 50,
    live: bool | None = None,
) -> Instrument:
    """What fine-tuning on chosen responses does to both sides, as the start slides.

    Args:
        world: an enumerable world.
        writer: log μ, the distribution that both responses of a pair are drawn from.
        chosen, rejected: log-probs of being the chosen and the rejected response.
        a: where the slider stands first, one of ``POWERS``; 0 is uniform, 1 is μ.
        step: where the slider of the steps stands first, one of ``STEPS``.
        live: True, False, or None to ask the surroundings.
    """
    path, group = start_path(writer, chosen, rejected), groups(writer, chosen, rejected)

    @cache
    def training(a: float | int):
        steps = (0, *STEPS)
        tables = sft_tables((a * writer).log_softmax(-1), chosen, steps)
        return tables, mass_path(tables, group, steps)

    def draw(a: float | int, step: int, prompt: str) -> Fig:
        tables, masses = training(a)
        three = tables[0], tables[1 + STEPS.index(step)], chosen
        reviews = listed_reviews(world, prompt, three)
        return start_figure(reviews, path, masses, a, step, prompt)

    controls = {
        "a": Slider("a", POWERS, a, FEW_POWERS),
        "step": Slider("step", STEPS, step, FEW_STEPS, play=True),
        "prompt": Choice("reviews of", world.prompts, world.prompts[0]),
    }
    return Instrument("Start explorer", draw, controls, live, computed_by=sft_tables)
