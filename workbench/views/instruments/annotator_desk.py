"""Be the annotator: answer twenty pairs, see the reward they teach, optimise it."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models import tiny
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.annotated_state import (
    Judged,
    Task,
    agreement,
    annotated,
    annotation_task,
    doubt,
)
from workbench.views.instruments.answer_buttons import AnswerButtons, Answers
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.label_training import Trained, trained
from workbench.views.instruments.shell import Instrument, is_live
from workbench.views.layers import Bars, Layer, Line, Points
from workbench.views.style import method, role
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

SHOWN = (
    "good", "very good", "good and fun", "fun", "not bad", "not good", "dull", "bad",
)  # fmt: skip
BETAS = (0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0)
PATH = np.geomspace(10, 0.03, 25)
TOP = 6


def annotator(
    world=None,
    ref_logps: Float[Tensor, "prompt response"] | None = None,
    *,
    beta: float | int = 0.5,
    folder: Path | None = None,
    live: bool | None = None,
) -> Instrument:
    """Twenty pairs to answer; a reward refits after each, and a policy follows it.

    Args:
        world: an enumerable world; the reviews of at most four words if None.
        ref_logps: log π_ref of every response, nats; the course's reference if None.
        beta: where the slider of β starts, reward units per nat.
        folder: where labels are kept; the working folder if None.
        live: True, False, or None to ask the surroundings.
    """
    world = Reviews(4) if world is None else world
    if ref_logps is None:
        ref_logps = tiny.reference(world).response_logps(world)
    task = annotation_task(world, ref_logps.detach())
    best = cache(lambda: gold_path(task, task.gold))

    @cache
    def path(answers: tuple) -> pd.DataFrame:
        return gold_path(task, annotated(task, answers, 1.0).reward)

    def draw(answers: Sequence[int], beta: float) -> Fig:
        judged, dpo = annotated(task, answers, beta), trained(task, answers, beta)
        known = tuple(answers)
        return annotated_figure(task, known, judged, dpo, beta, (path(known), best()))

    def compare(people: Mapping[str, Sequence[int]], mine: Sequence[int]):
        return compared(task, people, mine, beta)

    met = zip(task.first, task.second, strict=True)
    texts = [(world.text(one), world.text(other)) for one, other in met]
    question = f"Which review of a {world.prompts[task.prompt]} is better?"
    # a stored copy, which nobody answers, begins with all that the machine says
    start = Answers(() if is_live(live) else task.machine)
    panel = AnswerButtons(question, texts, task.machine, compare, folder, start)
    controls = {
        "answers": panel,
        "beta": Slider("β of your policy", sorted({*BETAS, beta}), beta, BETAS[::2]),
    }
    return Instrument("Annotator", draw, controls, live, computed_by=annotated)


def gold_path(task: Task, reward: Float[Tensor, " response"]) -> pd.DataFrame:
    """`solutions.frontier` of a reward for the task's prompt, over many β."""
    gold = task.world.gold[task.prompt]
    return solutions.frontier(task.ref[None], reward[None], gold[None], PATH)


def compared(
    task: Task, people: Mapping[str, Sequence[int]], mine: Sequence[int], beta: float
) -> pd.DataFrame:
    """Several people's answers beside one's own.

    Args:
        task: the pairs.
        people: name to answers.
        mine: one's own answers.
        beta: price of drift, reward units per nat.

    Returns:
        DataFrame[who, answers, like you, like the machine, gold]: shares of the pairs
        that both answered alike, and the gold of the policy that is best for the
        reward of each.
    """
    rows = []
    for who, answers in {"you": mine, **people, "machine": task.machine}.items():
        shares = (agreement(answers, other) for other in (mine, task.machine))
        gold = annotated(task, answers, beta).gold
        rows.append((who, len(answers), *shares, gold))
    heads = ["who", "answers", "like you", "like the machine", f"gold (β = {beta:g})"]
    return pd.DataFrame(rows, columns=heads)


def annotated_figure(
    task: Task,
    answers: Sequence[int],
    judged: Judged,
    dpo: Trained,
    beta: float | int,
    paths: tuple[pd.DataFrame, pd.DataFrame],
) -> Fig:
    """Three panels: learned rewards, gold against drift, and favourite reviews.

    Args:
        task: the pairs.
        answers: to the first of them.
        judged: the reward that they teach, and its best policy.
        dpo: the policy that DPO makes of them.
        beta: price of drift, reward units per nat.
        paths: `gold_path` of the learned reward, and of gold.
    """
    at = [task.world.index(text) for text in SHOWN]
    mean, sd = judged.reward[at], doubt(task, judged, at)
    ends = {"low": (mean - sd).tolist(), "high": (mean + sd).tolist()}
    bars = [Bars(SHOWN, mean.tolist(), "your reward", role("proxy"), **ends)]
    if len(answers) == len(task.first):  # before, it would tell what to answer
        bars.append(Bars(SHOWN, task.gold[at].tolist(), "gold", role("gold")))
    top = favourites(task, judged, dpo)
    names = [f"{r} ({g:+.1f})" for r, g in zip(top["review"], top["gold"], strict=True)]
    liked = [
        Bars(names, top["policy"].tolist(), "π* of your reward", role("policy")),
        Bars(names, top["DPO"].tolist(), "DPO", method("dpo")),
    ]
    star = optimum(task, beta)
    charts = [
        Chart(
            "Learned rewards", "reward units, mean 0", "", bars, "lines: ± 1 sd",
            horizontal=True,
        ),
        Chart(
            "Gold against drift", "√KL (√nats)", "gold (reward units)",
            bought(judged, dpo, star, paths),
        ),
        Chart("It writes (gold)", "probability", "", liked, horizontal=True),
    ]  # fmt: skip
    told = f"{_known(task, answers, sd)} {_earned(task, judged, dpo, star, beta)}"
    return Fig(Panels(charts, height=3.6), told, top)


def bought(
    judged: Judged,
    dpo: Trained,
    star: tuple[float, float],
    paths: tuple[pd.DataFrame, pd.DataFrame],
) -> list[Layer]:
    """Where each policy stands, with the ways that lead there.

    Args:
        judged: the reward that the answers teach, and its best policy.
        dpo: the policy that DPO makes of them.
        star: KL and gold of the optimum of gold.
        paths: `gold_path` of the learned reward, and of gold.
    """
    mine, best = paths
    ends = {
        "π* of gold": (*star, role("exact")),
        "π* of your reward": (judged.kl, judged.gold, role("policy")),
        "DPO on your labels": (dpo.kl, dpo.gold, method("dpo")),
    }
    return [
        Line(*_curve(best), "best at its KL", role("exact")),
        Line(*_curve(mine), style=role("policy")),
        Line(*_curve(dpo.curves), style=method("dpo")),
        *(
            Points([kl**0.5], [gold], name, look, size=9)
            for name, (kl, gold, look) in ends.items()
        ),
    ]


def optimum(task: Task, beta: float | int) -> tuple[float, float]:
    """KL (nats per sequence) and gold (reward units) of π* of the gold reward."""
    gold = task.world.gold[task.prompt]
    star = solutions.optimal_policy(task.ref, gold, beta)
    kl, earned = solutions.kl(star, task.ref), solutions.expectation(star, gold)
    return max(kl.item(), 0.0), earned.item()


def _known(task: Task, answers: Sequence[int], sd: Tensor) -> str:
    return (
        f"After {len(answers)} of {len(task.first)} answers the rewards shown are "
        f"known to ±{sd.mean().item():.2f}."
    )


def _earned(
    task: Task,
    judged: Judged,
    dpo: Trained,
    star: tuple[float, float],
    beta: float | int,
) -> str:
    gold = task.world.gold[task.prompt]
    before = solutions.expectation(task.ref, gold).item()
    return (
        f"At β = {beta:g} the policy that is best for your reward earns "
        f"{judged.gold:.2f} gold at a KL of {judged.kl:.2f} nats, a table trained by "
        f"DPO on your labels {dpo.gold:.2f} at {dpo.kl:.2f}, and π* of gold "
        f"{star[1]:.2f} at {star[0]:.2f} (reference: {before:.2f})."
    )


def favourites(task: Task, judged: Judged, dpo: Trained) -> pd.DataFrame:
    """The reviews that either policy writes most often.

    Returns:
        DataFrame[review, policy, DPO, reference, your reward, sd, gold].
    """
    top = torch.maximum(judged.policy, dpo.logps).topk(TOP).indices
    gold = task.world.gold[task.prompt]
    return pd.DataFrame(
        {
            "review": [task.world.text(int(y)) for y in top],
            "policy": judged.policy[top].exp().tolist(),
            "DPO": dpo.logps[top].exp().tolist(),
            "reference": task.ref[top].exp().tolist(),
            "your reward": judged.reward[top].tolist(),
            "sd": doubt(task, judged, top.tolist()).tolist(),
            "gold": gold[top].tolist(),
        }
    )


def _curve(path: pd.DataFrame) -> tuple[list[float], list[float]]:
    return (path["kl"].clip(lower=0) ** 0.5).tolist(), path["gold"].tolist()
