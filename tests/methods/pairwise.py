"""Pairs for tests of pairwise losses: one written by hand, and all of a small world."""

import torch

from tests.methods.enumerated import F64, TREE, every_pair, token_logps
from workbench.feedback.kinds.pairs import PairLogps

PROMPT, PADDING = -9.0, -4.0  # numbers that a loss must not read


def pair(chosen, rejected, ref_chosen, ref_rejected) -> PairLogps:
    """One pair from the token log-probs of its two responses, in nats.

    Args:
        chosen: log-probs of the chosen response's tokens, e.g. ``[-1.0, -2.0]``.
        rejected: those of the rejected response; its length may differ.
        ref_chosen: the same tokens under the reference.
        ref_rejected: the same tokens under the reference.

    A prompt column stands in front and padding behind; both hold other numbers.
    """
    time = 1 + max(len(chosen), len(rejected)) + 1

    def row(values):
        pad = [PADDING] * (time - 1 - len(values))
        return torch.tensor([[PROMPT, *values, *pad]], dtype=F64)

    def mask(values):
        at = torch.arange(time)[None]
        return (at >= 1) & (at <= len(values))

    return PairLogps(
        policy_chosen=row(chosen),
        policy_rejected=row(rejected),
        ref_chosen=row(ref_chosen) + 0.5 * ~mask(chosen),
        ref_rejected=row(ref_rejected) + 0.25 * ~mask(rejected),
        chosen_mask=mask(chosen),
        rejected_mask=mask(rejected),
    )


def single_tokens(chosen, rejected, ref=-20.0) -> PairLogps:
    """Pairs of one-token responses with the given log-ratios d(y_w), d(y_l) in nats.

    Args:
        chosen: tensor of log-ratios of chosen responses; gradients flow into it.
        rejected: the same of rejected ones.
        ref: log-prob of every response under the reference.
    """
    base = torch.full_like(chosen.detach(), ref)[:, None]
    mask = torch.ones_like(base, dtype=torch.bool)
    return PairLogps(
        base + chosen[:, None], base + rejected[:, None], base, base, mask, mask
    )


def all_pairs(policy, ref, tree=TREE) -> PairLogps:
    """Every ordered pair of responses of a tree, from two distributions over them."""
    tokens, mask = token_logps(tree, policy)
    ref_tokens, _ = token_logps(tree, ref)
    i, j = every_pair(tree.n_responses)
    return PairLogps(
        tokens[i], tokens[j], ref_tokens[i], ref_tokens[j], mask[i], mask[j]
    )


def population_gradient(loss, cfg, at, ref, prefers, weight, tree=TREE):
    """Gradient of Σ_ij w_ij P(i ≻ j) L(i, j) in the logits of a tabular policy.

    Args:
        loss: of a pair batch and a config, one value per pair.
        cfg: its config.
        at: logits of the policy, one per response.
        ref: log π_ref, one per response.
        prefers: P(i ≻ j), a matrix.
        weight: how often the pair (i, j) is drawn, a matrix.
        tree: the prefix tree of the responses.
    """
    logits = at.clone().requires_grad_()
    each = loss(all_pairs(logits.log_softmax(-1), ref, tree), cfg)
    total = (weight * prefers).flatten() @ each
    return torch.autograd.grad(total, logits)[0]


def pulls(loss, batch: PairLogps, cfg):
    """−dL/d log π of every token of the chosen and of the rejected responses."""
    leaves = [batch.policy_chosen, batch.policy_rejected]
    leaves = [value.detach().requires_grad_() for value in leaves]
    moved = PairLogps(
        *leaves, batch.ref_chosen, batch.ref_rejected, batch.chosen_mask,
        batch.rejected_mask,
    )  # fmt: skip
    found = torch.autograd.grad(loss(moved, cfg).sum(), leaves, allow_unused=True)
    zero = torch.zeros_like(batch.policy_chosen)
    return tuple(zero if g is None else -g for g in found)


def reference_gradients(loss, batch: PairLogps, cfg) -> float:
    """The largest gradient that flows into the reference: 0 for a right loss."""
    refs = [v.detach().requires_grad_() for v in (batch.ref_chosen, batch.ref_rejected)]
    policy = [
        v.detach().requires_grad_()
        for v in (batch.policy_chosen, batch.policy_rejected)
    ]
    moved = PairLogps(*policy, *refs, batch.chosen_mask, batch.rejected_mask)
    found = torch.autograd.grad(loss(moved, cfg).sum(), refs, allow_unused=True)
    return max(0.0 if g is None else g.abs().max().item() for g in found)


def summing_to_one(logps_at, low=-60.0, high=60.0):
    """logps_at(c) at the shift c where its probabilities sum to one, by bisection.

    Args:
        logps_at: log-probs of all responses as a function of c, growing in c.
        low: a shift with too little mass.
        high: a shift with too much.
    """
    for _ in range(100):
        middle = (low + high) / 2
        heavy = logps_at(middle).logsumexp(-1) > 0
        low, high = (low, middle) if heavy else (middle, high)
    return logps_at(low)


def chosen_from(target, reward):
    """Symmetric weights of pairs that give the chosen response the distribution target.

    Args:
        target: log-probs of the distribution that chosen responses are to have.
        reward: of Bradley–Terry labels, P(i ≻ j) = σ(r_i − r_j).

    w_ij = (e^{r_i} + e^{r_j}) a_i a_j gives Σ_j w_ij P(i ≻ j) = e^{r_i} a_i Σ a_j.
    """
    part = (target - reward).exp()
    return (reward.exp()[:, None] + reward.exp()) * part[:, None] * part
