"""A network that reads two responses one after the other, and says which is better."""

from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core.tokens import Tokens
from workbench.models.heads import ScoreModel
from workbench.models.network import Network, Stacked


def side_by_side(
    first: Tokens, second: Tokens
) -> tuple[Int[Tensor, "batch time"], Int[Tensor, " batch"]]:
    """Prompt, first response and second response in one row.

    Args:
        first, second: responses to the same prompts, row by row; each ends in its own
            end token, which tells them apart.

    Returns:
        ids, right-padded, and the column of the last token of each row.
    """
    room = second.mask.shape[1]
    ids = torch.nn.functional.pad(first.ids * first.attention, (0, room))
    start = first.last + 1
    place = start[:, None] + second.mask.cumsum(-1) - 1
    rows, columns = second.mask.nonzero(as_tuple=True)
    ids[rows, place[rows, columns]] = second.ids[rows, columns]
    last = start + second.lengths - 1
    return ids[:, : int(last.max()) + 1], last


class PairReader(nn.Module):
    """Log-odds that the response that stands first is the better one.

    Args:
        network: a network with one output per position, read at the last token.
    """

    def __init__(self, network: Network | Stacked):
        super().__init__()
        self.network = network

    @classmethod
    def tiny(cls, vocab, width: int = 64, layers: int = 2, seed: int = 0):
        """A fresh model; see ``heads.ScoreModel.tiny``."""
        return cls(ScoreModel.tiny(vocab, width, layers, seed).network)

    @property
    def members(self) -> int:
        """Seeds that train side by side."""
        return self.network.members

    def odds(self, first: Tokens, second: Tokens) -> Float[Tensor, " batch"]:
        """Log-odds that the first is better, as it stands: position counts."""
        ids, last = side_by_side(first, second)
        device = next(self.network.parameters()).device
        values = self.network(ids.to(device))[..., 0].cpu()
        return values.gather(1, last[:, None])[:, 0]

    @staticmethod
    def stack(models: "list[PairReader]") -> "PairReader":
        """Several models as one batched model."""
        return PairReader(Stacked([model.network for model in models]))

    def save(self, folder: str | Path) -> None:
        """Write Hugging Face format; a stack's members as ``member-0``, …"""
        self.network.save(folder)
