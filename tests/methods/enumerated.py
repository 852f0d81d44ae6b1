"""Worlds small enough to sum over, and token batches that hold all of them."""

import torch

from workbench.worlds.tree import PrefixTree

F64 = torch.float64
PROMPT_NOISE, PADDING_NOISE = -9.0, -5.0  # a loss must not look at either

TREE = PrefixTree(n_words=3, depth=2)  # 13 responses of 1 or 2 tokens


def random(seed: int, *shape: int) -> torch.Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def random_logps(
    seed: int, n: int = TREE.n_responses, scale: float = 1.0
) -> torch.Tensor:
    """Log-probs of a random distribution with full support."""
    return (scale * random(seed, n)).log_softmax(-1)


def every_pair(n: int):
    """Row and column of every entry of an n × n matrix, in the order of flatten()."""
    return torch.arange(n * n) // n, torch.arange(n * n) % n


def token_logps(tree: PrefixTree, logps: torch.Tensor):
    """Token log-probs of every response under a distribution over them, and their mask.

    A prompt column stands in front; it and the padding hold numbers that are no
    response tokens. Differentiable in ``logps``.
    """
    nodes, actions = tree.paths(torch.arange(tree.n_responses))
    written = nodes >= 0
    chosen = tree.conditionals(logps)[nodes.clamp(min=0), actions.clamp(min=0)]
    body = torch.where(written, chosen, PADDING_NOISE)
    lead = torch.full_like(body[:, :1], PROMPT_NOISE)
    mask = torch.cat([torch.zeros_like(written[:, :1]), written], dim=1)
    return torch.cat([lead, body], dim=1), mask


def node_values(tree: PrefixTree, values: torch.Tensor, padding: float = 7.0):
    """V before each response token, laid out like ``token_logps``."""
    nodes, _ = tree.paths(torch.arange(tree.n_responses))
    body = torch.where(nodes >= 0, values[nodes.clamp(min=0)], padding)
    return torch.cat([torch.full_like(body[:, :1], padding), body], dim=1)
