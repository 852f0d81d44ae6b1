"""Variational preference learning: the taste of a user is read off other choices.

Objective:
    L = −log σ(r(x, y_chosen, z) − r(x, y_rejected, z)) + (β/N)·KL(q‖N(0, I)),
    z = μ + s·ε with ε ~ N(0, I), r(x, y, z) = r_0(x, y) + φ(x, y)·z. q = N(μ, s²) comes
    from other pairs of the same user, who has judged N.

Compared with BT:
    the score has one more argument, the taste z, which is not known but inferred.

Valid only if:
    the context of a pair holds other pairs of the same user, never the pair itself; z
    has K − 1 numbers or more for K kinds of users, since r is affine in z (in the paper
    r is a network of y and z).

Minimiser:
    β = 1 and one q for all pairs of a user: the sum of E_ε L over them is −log p of the
    labels plus KL(q‖posterior of z), so q is as near to it as a Gaussian can be. Where
    contexts say nothing, or β → ∞: φ = 0, and r_0 is BT's fit to the mixture of users.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) KL without its ½, as in the official code: β counts twice.
    (3) KL(N(0, I)‖q): it asks for a wide q and hardly minds a far mean.
    (4) log s taken for log s²: z is drawn from another q than the KL is of.
    (5) KL once per pair, N times per user: q stays at the prior, which is plain BT.
    (6) the mean for the sample: s hears of the prior alone, and ends at 1.
    (7) the gradient cut at z: the encoder hears of the prior alone.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.user_pairs import UserPairScores
from workbench.loops import reward
from workbench.models.latent_reward import LatentReward

card = Card(
    key="vpl",
    title="Variational preference learning",
    parents=("bt",),
    needs=("pairs", "user ids"),
    paper="Poddar et al. 2024 (2408.10075)",
    check="A user's losses exceed −log p(labels) by KL(q‖posterior), by quadrature.",
    claim="It orders the pairs of users of opposite tastes, where BT is at chance.",
    notebook="10b",
    loop=reward,
    hooks=("build", "margin"),
)


@dataclass(frozen=True)
class Config:
    """Settings of variational preference learning.

    Attributes:
        beta: weight of the KL of each user.
        dim: numbers of a taste.
    """

    beta: float = 1.0  # the ELBO; official control runs: 1, without the ½ of the KL
    dim: int = 4  # ours: few kinds of users; official 32 (control), 512 (language)


def build(vocab, cfg: Config, seed: int) -> LatentReward:
    """A fresh reward model with its encoder."""
    return LatentReward.tiny(vocab, cfg.dim, seed=seed)


def margin(batch: UserPairScores, cfg: Config) -> Float[Tensor, " batch"]:
    """By how much the user prefers the chosen response, at the mean of q."""
    return batch.margin(batch.mean)


def kl_to_prior(
    mean: Float[Tensor, "batch dim"], log_std: Float[Tensor, "batch dim"]
) -> Float[Tensor, " batch"]:
    """KL(N(μ, s²)‖N(0, I)) = Σ_i ½(μ² + s² − 1) − log s, in nats."""
    return ((mean.square() + torch.expm1(2 * log_std)) / 2 - log_std).sum(-1)


def loss(batch: UserPairScores, cfg: Config) -> Float[Tensor, " batch"]:
    """−log P(chosen ≻ rejected | z) + (β/N)·KL(q‖N(0, I)) of each pair, in nats."""
    price = cfg.beta * kl_to_prior(batch.mean, batch.log_deviation) / batch.pairs
    return price - logsigmoid(batch.margin(batch.sample()))


def _kl_turned_round(batch: UserPairScores, cfg: Config) -> Tensor:
    # in units of s, and seen from its mean, q is the prior and the prior is this
    log_std = batch.log_deviation
    price = cfg.beta * kl_to_prior(batch.mean * (-log_std).exp(), -log_std)
    return price / batch.pairs - logsigmoid(batch.margin(batch.sample()))


def _cut(batch: UserPairScores, cfg: Config) -> Tensor:
    price = cfg.beta * kl_to_prior(batch.mean, batch.log_deviation) / batch.pairs
    return price - logsigmoid(batch.margin(batch.sample().detach()))


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 KL without its half": edits.with_config(loss, beta=lambda cfg: 2 * cfg.beta),
    "3 KL turned round": _kl_turned_round,
    "4 log s taken for log s²": edits.with_batch(
        loss, noise=lambda b: b.noise * (-b.log_deviation / 2).exp()
    ),
    "5 KL once per pair": edits.with_batch(loss, pairs=lambda b: b.pairs / b.pairs),
    "6 mean for the sample": edits.with_batch(loss, noise=lambda b: 0 * b.noise),
    "7 gradient cut at z": _cut,
}
