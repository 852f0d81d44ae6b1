"""All responses of a small language as the leaves of one tree.

Nodes are prefixes of fewer than ``depth`` words, numbered by length and then by their
digits in base ``n_words``; a response has the number that its words would have as a
node. At a node a policy writes one of ``n_words`` words or ends (the last column). A
response of ``depth`` words ends by itself: no end token is written, none is paid for.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class PrefixTree:
    """The tree of responses of at most ``depth`` words out of ``n_words``."""

    n_words: int
    depth: int

    def offset(self, length: int) -> int:
        """Number of prefixes of fewer than ``length`` words."""
        return (self.n_words**length - 1) // (self.n_words - 1)

    @property
    def n_nodes(self) -> int:
        """Prefixes at which a token is written."""
        return self.offset(self.depth)

    @property
    def n_responses(self) -> int:
        """Complete responses, the empty one included."""
        return self.offset(self.depth + 1)

    def level(self, length: int) -> slice:
        """The numbers of the prefixes (or responses) of ``length`` words."""
        return slice(self.offset(length), self.offset(length + 1))

    @property
    def n_response_words(self) -> Int[Tensor, " response"]:
        """Words in each response."""
        sizes = torch.tensor([self.n_words**n for n in range(self.depth + 1)])
        return torch.arange(self.depth + 1).repeat_interleave(sizes)

    def words(self, length: int) -> Int[Tensor, "prefix length"]:
        """The words of all prefixes of one length, as digits 0 … n_words − 1."""
        code = torch.arange(self.n_words**length)[:, None]
        power = self.n_words ** torch.arange(length - 1, -1, -1)
        return (code // power) % self.n_words

    def index(self, words: list[int]) -> int:
        """The number of one prefix or response."""
        code = 0
        for word in words:
            code = code * self.n_words + word
        return self.offset(len(words)) + code

    def paths(
        self, responses: Int[Tensor, " batch"]
    ) -> tuple[Int[Tensor, "batch depth"], Int[Tensor, "batch depth"]]:
        """Nodes visited by each response and the action taken there; −1 after the end.

        The actions are words, and ``n_words`` for the end.
        """
        length = self.n_response_words.to(responses.device)[responses]
        start = torch.tensor([self.offset(n) for n in range(self.depth + 1)])
        start = start.to(responses.device)
        code = responses - start[length]
        nodes = torch.full((len(responses), self.depth), -1, device=responses.device)
        actions = nodes.clone()
        for t in range(self.depth):
            prefix = code // self.n_words ** (length - t).clamp(min=0)
            word = code // self.n_words ** (length - t - 1).clamp(min=0) % self.n_words
            alive = t <= length
            nodes[:, t] = torch.where(alive, start[t] + prefix, -1)
            actions[:, t] = torch.where(t < length, word, self.n_words)
            actions[:, t] = torch.where(alive, actions[:, t], -1)
        return nodes, actions

    def response_logps(
        self, conditionals: Float[Tensor, "*lead node action"]
    ) -> Float[Tensor, "*lead response"]:
        """Log-probability of every response from those of every next token.

        Args:
            conditionals: log π(action | prefix) in nats; the last action is the end.
        """
        lead = conditionals.shape[:-2]
        reach = conditionals.new_zeros((*lead, 1))
        levels = []
        for length in range(self.depth):
            here = conditionals[..., self.level(length), :]
            levels.append(reach + here[..., -1])
            reach = (reach[..., None] + here[..., :-1]).flatten(-2)
        return torch.cat([*levels, reach], dim=-1)

    def conditionals(
        self, response_logps: Float[Tensor, "*lead response"]
    ) -> Float[Tensor, "*lead node action"]:
        """Next-token log-probs from those of responses; inverts ``response_logps``.

        A prefix that is never reached gets the uniform distribution, so that every row
        is a distribution.
        """
        below = response_logps[..., self.level(self.depth)]
        rows = []
        for length in reversed(range(self.depth)):
            words = below.unflatten(-1, (-1, self.n_words))
            end = response_logps[..., self.level(length), None]
            joint = torch.cat([words, end], dim=-1)
            below = joint.logsumexp(-1)
            even = torch.full_like(joint, -math.log(self.n_words + 1))
            reached = below[..., None] > -torch.inf
            rows.append(torch.where(reached, joint - below[..., None], even))
        return torch.cat(rows[::-1], dim=-2)

    def reach_logps(
        self, conditionals: Float[Tensor, "*lead node action"]
    ) -> Float[Tensor, "*lead node"]:
        """Log-probability of passing through every prefix."""
        reach = conditionals.new_zeros((*conditionals.shape[:-2], 1))
        levels = [reach]
        for length in range(self.depth - 1):
            here = conditionals[..., self.level(length), :-1]
            reach = (reach[..., None] + here).flatten(-2)
            levels.append(reach)
        return torch.cat(levels, dim=-1)

    def action_values(
        self,
        values: Float[Tensor, "*lead node"],
        reward: Float[Tensor, "*#lead response"],
    ) -> Float[Tensor, "*lead node action"]:
        """Q(s, a) = V(s·a) of any table of values; a finished response has its reward.

        Args:
            values: V of every prefix, reward units.
            reward: of every response, reward units.
        """
        reward = reward.expand(*values.shape[:-1], self.n_responses)
        below = torch.cat([values, reward[..., self.n_nodes :]], dim=-1)
        rows = []
        for length in range(self.depth):
            words = below[..., self.level(length + 1)].unflatten(-1, (-1, self.n_words))
            end = reward[..., self.level(length), None]
            rows.append(torch.cat([words, end], dim=-1))
        return torch.cat(rows, dim=-2)

    def at_nodes(
        self, values: Float[Tensor, "member longest depth *rest"]
    ) -> Float[Tensor, "member node *rest"]:
        """What was read along the prefixes of ``depth − 1`` words, once per node.

        Every such prefix passes through all the shorter ones: prefix c of n words first
        stands in row c · n_words^(depth − 1 − n), at position n.
        """
        first = [self.n_words ** (self.depth - 1 - n) for n in range(self.depth)]
        return torch.cat([values[:, ::k, n] for n, k in enumerate(first)], dim=1)
