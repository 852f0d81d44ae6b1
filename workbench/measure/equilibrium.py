"""Policies in a preference game, measured against its Nash equilibrium.

P is the matrix of ``worlds.preference_games``, μ the reference, τ the price of a nat.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure.exact import response_logps
from workbench.methods.games import nash_md
from workbench.worlds import preference_games, solutions

Matrix = Float[Tensor, "*lead response response"]
LogDistribution = Float[Tensor, "*lead response"]
Rule = Callable[[int, Tensor], Tensor]
SELF_PLAY = 0.5  # step size of self-play without a reference
ANSWERS = 12  # best responses of a walk: more would be the same picture again


def walk(rule: Rule, n: int, start: LogDistribution) -> Float[Tensor, "step ..."]:
    """The log-probs of n + 1 policies: the start, and what a rule makes of each.

    Args:
        rule: (step number from 0, log π_t) to log π_{t+1}.
        n: steps.
        start: log π_0.
    """
    path = [start]
    for t in range(n):
        path.append(rule(t, path[-1]))
    return torch.stack(path)


def mirror(
    matrix: Matrix, ref: LogDistribution, tau: float, scale: float = 1.0
) -> Rule:
    """The rule of Nash-MD with its step sizes η_t = 2/(τ(t + 2)), times ``scale``."""
    cfg = nash_md.Config(tau=tau)

    def rule(t: int, logps: Tensor) -> Tensor:
        eta = scale * nash_md.schedule(t, cfg)
        return nash_md.step(logps, ref, matrix, eta, cfg)

    return rule


def walks(
    matrix: Matrix,
    ref: LogDistribution,
    tau: float,
    steps: int,
    start: LogDistribution | None = None,
) -> dict[str, Tensor]:
    """Three ways to improve against oneself.

    Args:
        matrix: P.
        ref: log μ.
        tau: preference probability per nat.
        steps: of Nash-MD; five times as many of self-play, at most 12 best responses.
        start: log π_0; μ if None.

    Returns:
        name to the log-probs of all policies on the way, the start included.
    """

    def answer(t: int, logps: Tensor) -> Tensor:
        return preference_games.best_response(matrix, logps, ref, tau)

    def self_play(t: int, logps: Tensor) -> Tensor:
        wins = preference_games.win_rate(matrix, logps)
        return (logps + SELF_PLAY * wins).log_softmax(-1)

    first = ref if start is None else start
    return {
        "best responses": walk(answer, min(steps, ANSWERS), first),
        "self-play, τ = 0": walk(self_play, 5 * steps, first),
        "Nash-MD": walk(mirror(matrix, ref, tau), steps, first),
    }


def one_step_ratio(
    path: Float[Tensor, "step *lead response"],
    nash: LogDistribution,
    spread: Float[Tensor, "*lead"],
    tau: float,
) -> Float[Tensor, "step_1 *lead"]:
    """D_{t+1} / ((1 − η_t τ) D_t + η_t² S²/8) of each step; at most 1 for Nash-MD.

    D_t = KL(π*_τ‖π_t). By Hoeffding's lemma; the paper has 2η_t² for the last term.

    Args:
        path: log π_t.
        nash: log π*_τ.
        spread: S, the largest spread of p(y ≻ y′) over y; 1 always holds.
        tau: preference probability per nat.

    Source: after Munos et al. 2023 (2312.00886).
    """
    cfg = nash_md.Config(tau=tau)
    far = solutions.kl(nash.expand_as(path), path)
    sizes = [nash_md.schedule(t, cfg) for t in range(len(path) - 1)]
    eta = torch.tensor(sizes, dtype=far.dtype).reshape(-1, *[1] * (far.ndim - 1))
    return far[1:] / ((1 - eta * tau) * far[:-1] + (eta * spread) ** 2 / 8)


def least_gap(
    matrix: Matrix, ref: LogDistribution, tau: float, betas: Sequence[float]
) -> float:
    """The smallest duality gap, over β, of π*_β of the best-fitting reward.

    Args:
        matrix: P.
        ref: log μ, from which the pairs are drawn that the reward fits.
        tau: preference probability per nat.
        betas: reward units per nat.

    Returns:
        a probability, mean over prompts; 0 only if some β gives the equilibrium.
    """
    reward = preference_games.bradley_terry(matrix, ref)
    fits = [solutions.optimal_policy(ref, reward, beta) for beta in betas]
    gaps = [preference_games.duality_gap(matrix, fit, ref, tau) for fit in fits]
    return min(gap.mean().item() for gap in gaps)


class Tracker:
    """Gap, drift and distance to the equilibrium, for a loop's ``measures``.

    Args:
        world: an enumerable world.
        matrix: P of each prompt.
        ref_logps: log μ.
        tau: preference probability per nat.
        nash: log π*_τ if it is known; without it there is no column ``distance``.
    """

    def __init__(
        self,
        world,
        matrix: Matrix,
        ref_logps: Float[Tensor, "prompt response"],
        tau: float,
        nash: Float[Tensor, "prompt response"] | None = None,
    ):
        self.world, self.matrix, self.tau, self.nash = world, matrix, tau, nash
        self.ref = ref_logps.detach().double()

    def __call__(self, policy):
        """DataFrame[gap, kl, distance], one row per seed, means over prompts."""
        import pandas as pd

        logps = response_logps(policy, self.world)
        gaps = [
            preference_games.duality_gap(self.matrix, one, self.ref, self.tau)
            for one in logps
        ]
        columns = {
            "gap": torch.stack(gaps),
            "kl": solutions.kl(logps, self.ref.expand_as(logps)),
        }
        if self.nash is not None:
            columns["distance"] = solutions.kl(self.nash.expand_as(logps), logps)
        return pd.DataFrame({k: v.mean(-1).tolist() for k, v in columns.items()})
