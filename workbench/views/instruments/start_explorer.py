"""The start explorer: one end of fine-tuning, many starts, and the signs they give.

Supervised fine-tuning on chosen responses ends at their distribution p_c, wherever it
starts. Under a distribution p the mean log-ratio to the start π₀ is then
KL(p‖π₀) − KL(p‖p_c). The starts are π₀ ∝ μ^a, with μ the policy that wrote the pairs.
"""

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Choice, Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Bars, HLine, Line, VLine
from workbench.views.style import Style, role
from workbench.worlds import solutions

POWERS = tuple(i / 20 for i in range(21))
TOP = 6
Table = Float[Tensor, "prompt response"]


def start_path(writer: Table, chosen: Table, rejected: Table) -> pd.DataFrame:
    """Mean log-ratios log p_c/π₀ of both sides, for starts π₀ ∝ μ^a.

    Args:
        writer: log μ, the distribution that both responses of a pair are drawn from.
        chosen, rejected: log-probs of being the chosen and the rejected response.

    Returns:
        DataFrame[a, chosen, rejected], nats, averaged over prompts.
    """
    rows = []
    for power in POWERS:
        gap = chosen - (power * writer).log_softmax(-1)
        means = [solutions.expectation(p, gap).mean() for p in (chosen, rejected)]
        rows.append((power, *(mean.item() for mean in means)))
    return pd.DataFrame(rows, columns=["a", "chosen", "rejected"])


def start_figure(
    world,
    writer: Table,
    sides: tuple[Table, Table],
    a: float | int,
    prompt: str,
    path: pd.DataFrame,
) -> Fig:
    """Two panels: both signs against the start, and the reviews chosen most often.

    Args:
        world: an enumerable world.
        writer: log μ.
        sides: log-probs of the chosen and of the rejected responses.
        a: the start is π₀ ∝ μ^a.
        prompt: whose reviews are listed; the curves are means over all prompts.
        path: ``start_path`` of the same distributions.
    """
    number, chosen = world.prompts.index(prompt), sides[0]
    left = [HLine(0.0), VLine(a, "this start", role("before"))]
    for side in ("chosen", "rejected"):
        look = Style(role(side).colour, "dash")
        line = Line(path["a"].tolist(), path[side].tolist(), f"{side}, exact", look)
        left.append(line)
    top = chosen[number].topk(TOP).indices
    start = (a * writer[number]).log_softmax(-1)
    table = pd.DataFrame(
        {
            "review": [world.text(int(i)) for i in top],
            "start": start[top].exp().tolist(),
            "after": chosen[number, top].exp().tolist(),
        }
    )
    bars = [
        Bars(
            table["review"].tolist(), table["start"].tolist(), "start", role("before")
        ),
        Bars(table["review"].tolist(), table["after"].tolist(), "end", role("after")),
    ]
    here = path.loc[(path["a"] - a).abs().idxmin()]
    charts = [
        Chart("Log-ratios after SFT", "a (start ∝ μ^a)", "E[log π/π₀] (nats)", left),
        Chart(f"Most chosen, {prompt}", "probability", "", bars, horizontal=True),
    ]
    verb = "rise" if here["rejected"] > 0 else "fall"
    told = (
        f"From the start μ^{a:g} the chosen reviews rise by {here['chosen']:.2f} nats "
        f"and the rejected ones {verb} by {abs(here['rejected']):.2f}."
    )
    return Fig(Panels(charts, height=3.4), told, table)


def start_explorer(
    world,
    writer: Table,
    chosen: Table,
    rejected: Table,
    *,
    a: float | int = 0.5,
    live: bool | None = None,
) -> Instrument:
    """What fine-tuning on chosen responses does to both sides, as the start slides.

    Args:
        world: an enumerable world.
        writer: log μ, the distribution that both responses of a pair are drawn from.
        chosen, rejected: log-probs of being the chosen and the rejected response.
        a: where the slider stands first, one of ``POWERS``; 0 is uniform, 1 is μ.
        live: True, False, or None to ask the surroundings.
    """
    path = start_path(writer, chosen, rejected)

    def draw(a: float | int, prompt: str) -> Fig:
        return start_figure(world, writer, (chosen, rejected), a, prompt, path)

    controls = {
        "a": Slider("a", POWERS, a),
        "prompt": Choice("reviews of", world.prompts, world.prompts[0]),
    }
    return Instrument("Start explorer", draw, controls, live, computed_by=start_path)
