"""A reward that is known for every response of an exact world."""

from jaxtyping import Float
from torch import Tensor, arange

from workbench.core.tokens import Tokens


class TableReward:
    """A reward given for every response: a gold or learned table of an exact world.

    Args:
        table: reward units, [prompt, response]; [member, prompt, response] gives each
            member of a stack its own reward.
    """

    def __init__(self, table: Tensor):
        self.table = table

    @property
    def members(self) -> int:
        """Seeds that have a reward of their own."""
        return 1 if self.table.dim() == 2 else len(self.table)

    def __call__(self, tokens: Tokens) -> Float[Tensor, " batch"]:
        """Reward of each row; rows are member-major."""
        if self.table.dim() == 2:
            return self.table[tokens.prompt, tokens.response]
        member = arange(len(tokens)) // (len(tokens) // len(self.table))
        return self.table[member, tokens.prompt, tokens.response]

    def scores(self, tokens: Tokens) -> Float[Tensor, " batch"]:
        """The same, as the protocol of reward models calls it."""
        return self(tokens)

    def score_all(self, world) -> Float[Tensor, "*lead prompt response"]:
        """The table itself."""
        return self.table
