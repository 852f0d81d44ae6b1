"""Pairs with whole next-token distributions: one by hand, and all of a small world."""

from dataclasses import replace

import torch

from tests.methods.enumerated import F64, TREE, every_pair, random
from workbench.feedback.kinds.distribution_pairs import PairDistributions

PROMPT, PADDING = -9.0, -4.0  # numbers that a loss must not read


def node_logits(seed: int, tree=TREE, scale: float = 1.0) -> torch.Tensor:
    """Random logits of the next token at every prefix, [node, action]."""
    return scale * random(seed, tree.n_nodes, tree.n_words + 1)


def side(policy, ref, picked, time):
    """Fields of one response; the last token of its distributions is forbidden.

    Args:
        policy: rows of probabilities of the allowed tokens, one row per token.
        ref: the same under the reference.
        picked: the tokens themselves.
        time: columns, at least the tokens and a prompt column.

    Returns:
        policy distribution, reference distribution, policy token log-probs, reference
        token log-probs, mask.
    """
    log_probs, tokens = [], []
    for rows, other in ((policy, 0.2), (ref, 0.3)):
        row = torch.tensor(rows, dtype=F64).log()
        row = torch.nn.functional.pad(row, (0, 1), value=-torch.inf)
        value = row.gather(-1, torch.tensor(picked)[:, None])[:, 0]
        junk = other * torch.arange(1.0, row.shape[1] + 1, dtype=F64)
        behind = time - 1 - len(rows)
        log_probs.append(torch.cat([junk[None], row, junk.repeat(behind, 1)])[None])
        ends = torch.full((behind,), PADDING + other, dtype=F64)
        first = torch.tensor([PROMPT - other], dtype=F64)
        tokens.append(torch.cat([first, value, ends])[None])
    at = torch.arange(time)[None]
    return (*log_probs, *tokens, (at >= 1) & (at <= len(picked)))


def distribution_pair(chosen, rejected) -> PairDistributions:
    """One pair of two ``side(...)`` results of the same width."""
    return PairDistributions(
        policy_chosen_distribution=chosen[0], ref_chosen_distribution=chosen[1],
        policy_chosen=chosen[2], ref_chosen=chosen[3], chosen_mask=chosen[4],
        policy_rejected_distribution=rejected[0], ref_rejected_distribution=rejected[1],
        policy_rejected=rejected[2], ref_rejected=rejected[3],
        rejected_mask=rejected[4],
    )  # fmt: skip


def hand_pair():
    """π_ref = (1/2, 1/2, 0) everywhere; two tokens chosen, one rejected.

    Chosen: π = (3/4, 1/4) and (1/4, 3/4), the likely token each time: d = 2 log 3/2,
    K = 2 · (1/2)log(4/3) = log 4/3, score log 3. Rejected: π = (1/8, 7/8), the likely
    token: d = log 7/4, K = (1/2)log(16/7), score log √7.
    """
    chosen = side([[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5]] * 2, [0, 1], 4)
    return distribution_pair(chosen, side([[0.125, 0.875]], [[0.5, 0.5]], [1], 4))


def gradients(loss, batch, cfg):
    """dL of every field by name; zeros where nothing flows."""
    leaves = {k: v for k, v in vars(batch).items() if v.is_floating_point()}
    leaves = {k: v.detach().clone().requires_grad_() for k, v in leaves.items()}
    value = loss(replace(batch, **leaves), cfg).sum()
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    return {
        k: torch.zeros_like(v) if g is None else g
        for (k, v), g in zip(leaves.items(), found, strict=True)
    }


def response_distributions(tree, conditionals):
    """Distributions, token log-probs and mask of every response; differentiable."""
    nodes, actions = tree.paths(torch.arange(tree.n_responses))
    written = nodes >= 0
    log_probs = conditionals[nodes.clamp(min=0)]
    picked = log_probs.gather(-1, actions.clamp(min=0)[..., None])[..., 0]
    picked = torch.where(written, picked, PADDING)
    lead = torch.full_like(picked[:, :1], PROMPT)
    mask = torch.cat([torch.zeros_like(written[:, :1]), written], dim=1)
    log_probs = torch.cat([torch.zeros_like(log_probs[:, :1]), log_probs], dim=1)
    return log_probs, torch.cat([lead, picked], dim=1), mask


def all_distribution_pairs(policy, ref, tree=TREE) -> PairDistributions:
    """Every ordered pair of responses, from two tables log π(a|s) [node, action]."""
    i, j = every_pair(tree.n_responses)
    log_probs, tokens, mask = response_distributions(tree, policy)
    ref_log_probs, ref_tokens, _ = response_distributions(tree, ref)
    return PairDistributions(
        policy_chosen=tokens[i], policy_rejected=tokens[j], ref_chosen=ref_tokens[i],
        ref_rejected=ref_tokens[j], chosen_mask=mask[i], rejected_mask=mask[j],
        policy_chosen_distribution=log_probs[i],
        policy_rejected_distribution=log_probs[j],
        ref_chosen_distribution=ref_log_probs[i],
        ref_rejected_distribution=ref_log_probs[j],
    )  # fmt: skip


def node_gradient(loss, cfg, at, ref, weight, tree=TREE):
    """Gradient of Σ_ij w_ij L(i, j) in next-token logits, [node, action].

    Args:
        loss: of a batch of ``PairDistributions`` and a config.
        cfg: its config.
        at: log π(a|s) or logits where the gradient is wanted.
        ref: log π_ref(a|s).
        weight: how often i is chosen over j, a matrix.
        tree: the prefix tree of the responses.
    """
    logits = at.detach().clone().requires_grad_()
    each = loss(all_distribution_pairs(logits.log_softmax(-1), ref, tree), cfg)
    return torch.autograd.grad(weight.flatten() @ each, logits)[0]


def labels(reward: torch.Tensor, seed: int) -> torch.Tensor:
    """w_ij σ(r_i − r_j) with random symmetric w: how often i is chosen over j."""
    weight = random(seed, len(reward), len(reward)).exp()
    return (weight + weight.T) * (reward[:, None] - reward).sigmoid()


def greedy(tree, ref, reward, beta: float):
    """π(a|s) ∝ π_ref(a|s) exp(V^ref(s·a)/β), V^ref summed from the leaves up."""
    reach = tree.reach_logps(ref)
    mass = tree.response_logps(ref)
    # V(s) = Σ_{y through s} π_ref(y) r(y) / π_ref(s), by brute force over all paths
    nodes, _ = tree.paths(torch.arange(tree.n_responses))
    through = (nodes[:, :, None] == torch.arange(tree.n_nodes)).any(1).to(F64)
    values = ((mass.exp() * reward) @ through) / reach.exp()
    return (ref + tree.action_values(values, reward) / beta).log_softmax(-1), values
