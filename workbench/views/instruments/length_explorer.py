"""The length explorer: what annotators who pay for length do to the exact optimum.

Bradley–Terry labels of r + b|y| lead DPO to π* of r + b|y|. Longer reviews are then
bought with KL that better ones could have had.
"""

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure import length_control
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider, powers
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Bars, Line, Points
from workbench.views.style import role
from workbench.worlds import solutions

BONUSES = tuple(round(-1 + 0.1 * i, 1) for i in range(31))  # −1 to 2
BETAS = np.geomspace(30, 0.1, 21)
HONEST = np.geomspace(30, 0.02, 57)
TOP = 7
ROOT = "√KL(π‖π_ref) (√nats)"
Table = Float[Tensor, "prompt response"]


def facts(
    world, ref: Table, reward: Table, beta: Float[Tensor, " beta"]
) -> pd.DataFrame:
    """KL, gold and length of π*_β of a reward, a row per β, means over prompts.

    Args:
        world: an enumerable world.
        ref: log π_ref, nats.
        reward: what π* maximises, reward units.
        beta: reward units per nat.

    Returns:
        DataFrame[kl, gold, tokens], nats, reward units and tokens.
    """
    best = (ref + reward / beta[:, None, None]).log_softmax(-1)
    chance, size = best.exp(), length_control.tokens(world).double()
    columns = {
        "kl": (chance * (best - ref)).sum(-1),
        "gold": (chance * world.gold.double()).sum(-1),
        "tokens": chance @ size,
    }
    return pd.DataFrame({name: x.mean(-1).tolist() for name, x in columns.items()})


def length_figure(
    world, ref: Table, bonus: float, beta: float | int, prompt: str, honest
) -> Fig:
    """Three panels: gold and length against KL, and the likeliest reviews.

    Args:
        world, ref: as for ``facts``.
        bonus: b, what annotators pay per token, reward units.
        beta: of the point and of the reviews, reward units per nat.
        prompt: whose reviews are listed; the curves are means over all prompts.
        honest: ``facts`` of gold itself, over many β.
    """
    size = length_control.tokens(world)
    felt = world.gold.double() + bonus * size
    grid = torch.tensor([*BETAS, float(beta)])
    path = facts(world, ref, felt, grid)
    here, path = path.iloc[-1], path.iloc[:-1]
    names = {"gold": "gold (reward units)", "tokens": "mean length (tokens)"}
    looks = {"gold": role("gold"), "tokens": role("policy")}
    # axes that stand still while b moves; the shortest reviews may be paid for
    charts, reach = [], 1.05 * honest["kl"].max() ** 0.5
    limits = {"gold": (honest["gold"].min() - 0.3, honest["gold"].max() + 0.3)}
    limits["tokens"] = size.min().item() - 0.1, size.max().item() + 0.1
    for column, unit in names.items():
        lines = [
            Line(*_against(honest, column), "π* of honest labels", role("exact")),
            Line(
                *_against(path, column), f"π* of labels, b = {bonus:g}", looks[column]
            ),
            Points(
                [here["kl"] ** 0.5], [here[column]], f"β = {beta:.3g}", looks[column]
            ),
        ]
        ends = {"x_range": (0.0, reach), "y_range": limits[column]}
        head = unit.partition(" (")[0].capitalize()
        charts.append(Chart(head, ROOT, unit, lines, **ends))
    row = world.prompts.index(prompt)
    best = solutions.optimal_policy(ref[row], felt[row], float(beta))
    top = best.topk(TOP).indices
    reviews = [f"{world.text(int(i))} ({size[i]})" for i in top]
    bars = [Bars(reviews, best[top].exp().tolist(), "", role("policy"))]
    title = f"Favourites, {prompt} (tokens)"
    charts.append(Chart(title, "probability", "", bars, horizontal=True))
    fair = np.interp(here["kl"] ** 0.5, honest["kl"] ** 0.5, honest["gold"])
    told = (
        f"With b = {bonus:g} per token and β = {beta:.3g} the optimum writes "
        f"{here['tokens']:.2f} tokens and has gold {here['gold']:.2f}; with the same "
        f"KL, {here['kl']:.2f} nats, honest labels give {fair:.2f}."
    )
    columns = {"review": reviews, "probability": best[top].exp().tolist()}
    table = pd.DataFrame(columns | {"gold": world.gold[row, top].tolist()})
    return Fig(Panels(charts, height=3.4), told, table)


def _against(path: pd.DataFrame, column: str) -> tuple[list, list]:
    return (path["kl"].clip(lower=0) ** 0.5).tolist(), path[column].tolist()


def length_explorer(
    world,
    ref_logps: Table,
    *,
    bonus: float = 1.0,
    beta: float | int = 1.0,
    live: bool | None = None,
) -> Instrument:
    """Gold and length of the exact optimum, as annotators pay more or less for length.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        bonus: where the slider of b starts, one of ``BONUSES``.
        beta: where the slider of β starts, reward units per nat.
        live: True, False, or None to ask the surroundings.
    """
    ref = ref_logps.detach().double()
    honest = facts(world, ref, world.gold.double(), torch.tensor(HONEST))

    def draw(bonus: float, beta: float | int) -> Fig:
        return length_figure(world, ref, bonus, beta, world.prompts[0], honest)

    controls = {
        "bonus": Slider("b (reward units per token)", BONUSES, bonus, BONUSES[::5]),
        "beta": powers("β (log scale)", beta, low=0.1, high=10, coarse=3),
    }
    return Instrument("Length explorer", draw, controls, live, computed_by=facts)
