"""A policy compared with the truth: each number is a sum over all responses."""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure.frontier import Frontier
from workbench.worlds import solutions

Logps = Float[Tensor, "prompt response"]


def response_logps(policy, world) -> Float[Tensor, "member prompt response"]:
    """log π of all responses, float64, one leading row per seed.

    Args:
        policy: a policy, a stack of policies, or their log-probs over all responses.
        world: an enumerable world.
    """
    if not isinstance(policy, Tensor):
        with torch.no_grad():
            policy = policy.response_logps(world)
    logps = policy.detach().double()
    return logps if logps.ndim == 3 else logps[None]


def evaluate(
    policy,
    world,
    ref_logps: Logps,
    *,
    gold: Logps | None = None,
    proxy: Logps | None = None,
    beta: float | None = None,
    frontier: Frontier | None = None,
):
    """Measure a policy over all responses, prompts in equal shares.

    Args:
        policy: a policy, a stack of policies, or log-probs [(member,)prompt,response].
        world: an enumerable world.
        ref_logps: log π_ref.
        gold: the reward that is meant, reward units.
        proxy: the reward that is optimised, reward units.
        beta: reward units per nat; asks for the distance to π*_β of the proxy, or of
            the gold reward where no proxy is given.
        frontier: ``Frontier(ref_logps, gold)`` if it is already known.

    Returns:
        DataFrame, one row per seed: seed (the member's place in the stack); gold,
        proxy = E_π[·]; kl = KL(π‖π_ref), kl_reverse = KL(π_ref‖π), entropy in nats per
        sequence; chi2 = χ²(π‖π_ref); length = expected WORDS (the end token is none);
        kl_to_optimum = KL(π‖π*_β), so β times it is the regret in E[r] − β KL;
        frontier_gap = gold of the exact frontier at the same KL, minus gold of π. All
        are means over prompts; columns without their input are absent.
    """
    logps = response_logps(policy, world)
    ref = ref_logps.detach().double()
    kl = solutions.kl(logps, ref)
    columns = {
        "kl": kl,
        "kl_reverse": solutions.kl(ref.expand_as(logps), logps),
        "chi2": solutions.chi2(logps, ref),
        "entropy": solutions.entropy(logps),
        "length": solutions.expectation(logps, world.n_words.double().expand_as(ref)),
    }
    if gold is not None:
        columns["gold"] = solutions.expectation(logps, gold.double())
    if proxy is not None:
        columns["proxy"] = solutions.expectation(logps, proxy.double())
    if beta is not None:
        reward = gold if proxy is None else proxy
        if reward is None:
            raise ValueError(
                "beta asks for the optimum of a reward: give gold or proxy"
            )
        optimum = solutions.optimal_policy(ref, reward.double(), beta)
        columns["kl_to_optimum"] = solutions.kl(logps, optimum)
    columns = {name: value.mean(-1) for name, value in columns.items()}
    if gold is not None:
        frontier = frontier or Frontier(ref, gold)
        columns["frontier_gap"] = frontier.gold(columns["kl"]) - columns["gold"]
    return _frame(columns)


_ORDER = (
    "gold", "proxy", "kl", "kl_reverse", "chi2", "entropy", "length", "kl_to_optimum",
    "frontier_gap",
)  # fmt: skip


def _frame(columns: dict[str, Tensor]):
    import pandas as pd

    seeds = range(len(columns["kl"]))
    known = {name: columns[name].tolist() for name in _ORDER if name in columns}
    return pd.DataFrame({"seed": list(seeds), **known})


class Tracker:
    """``evaluate`` with everything but the policy filled in, for a loop's ``measures``.

    The frontier is computed once, when the tracker is made.

    Args: those of ``evaluate``.
    """

    def __init__(
        self,
        world,
        ref_logps: Logps,
        *,
        gold: Logps | None = None,
        proxy: Logps | None = None,
        beta: float | None = None,
    ):
        self.world, self.ref_logps, self.beta = world, ref_logps.detach(), beta
        self.gold, self.proxy = gold, proxy
        self.frontier = None if gold is None else Frontier(self.ref_logps, gold)

    def __call__(self, policy):
        """Rows of ``evaluate`` for this policy."""
        return evaluate(
            policy,
            self.world,
            self.ref_logps,
            gold=self.gold,
            proxy=self.proxy,
            beta=self.beta,
            frontier=self.frontier,
        )
