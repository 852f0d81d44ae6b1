"""Where losses of DPO's kind end on flipped labels: infinitely many pairs, no training.

A flip with probability ε multiplies p − ½ by 1 − 2ε. A loss made of ℓ(M) and ℓ(−M),
ℓ = −log σ, whose factors sum to 1 has, in the mean over labels, the value of DPO's loss
at another chance: ½ + t(p − ½), where t says how much of the signal is kept. DPO has
t = 1 − 2ε; cDPO told ε̂ has (1 − 2ε̂)(1 − 2ε); rDPO told ε̂ has (1 − 2ε)/(1 − 2ε̂).
"""

import torch

from workbench.worlds.solutions import LogDistribution, Reward

STEPS = 500  # at most; about forty are enough
REST = 1e-10  # nats, of a step


def dpo_minimiser(
    ref: LogDistribution, reward: Reward, beta: float, kept: float = 1.0
) -> LogDistribution:
    """The policy with the least mean DPO loss where p − ½ is multiplied by ``kept``.

    At the minimum the rate at which the policy says that a response wins,
    E_ref[σ(β(d(y) − d(y')))], is its win rate under the labels. Each step moves every
    log-ratio d by the difference of the two over half its slope, which converges.

    Args:
        ref: log π_ref, from which both responses are drawn.
        reward: r(x, y) of the Bradley–Terry annotator, reward units.
        beta: reward units per nat.
        kept: t, from 0 to 1. Above 1 a pair has no minimum as soon as ½ + t(p − ½) > 1.

    Returns:
        log-probs; π*_β if everything is kept.

    Raises:
        ValueError: a factor outside [0, 1].
    """
    if not 0 <= kept <= 1:
        raise ValueError(f"kept is between 0 and 1, not {kept}: no minimum beyond")
    ref, reward = torch.broadcast_tensors(ref.double(), reward.double())
    partner = ref.exp()[..., None]
    true = (reward[..., None] - reward[..., None, :]).sigmoid()
    aim = 0.5 + kept * ((true @ partner) - 0.5)
    d = kept * reward[..., None] / beta
    for _ in range(STEPS):
        says = (beta * (d - d.mT)).sigmoid()
        step = (aim - says @ partner) / (beta * (says * (1 - says)) @ partner)
        d = d + step / 2
        if step.abs().max() < REST:
            break
    return (ref + d[..., 0]).log_softmax(-1)
