"""Prompts with their responses, as token numbers."""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """Prompts with their responses, right-padded.

    Attributes:
        ids: prompt, response, padding.
        mask: True on response tokens, the end of sequence included.
        attention: True on every token that is not padding.
        prompt: index of the prompt in its world, −1 if it has none.
        response: index of the response in an enumeration, −1 if there is none.
    """

    ids: Int[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]
    attention: Bool[Tensor, "batch time"]
    prompt: Int[Tensor, " batch"]
    response: Int[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | Tensor) -> "Tokens":
        return Tokens(*(getattr(self, f.name)[rows] for f in fields(self)))

    @property
    def lengths(self) -> Int[Tensor, " batch"]:
        """Response tokens of each row."""
        return self.mask.sum(-1)

    @property
    def last(self) -> Int[Tensor, " batch"]:
        """Column of the last token of each row, which is never padding.

        Of an empty response without an end token it is the prompt's.
        """
        column = torch.arange(self.ids.shape[1], device=self.ids.device)
        return torch.where(self.attention, column, 0).argmax(-1)

    @property
    def asked(self) -> Int[Tensor, " batch"]:
        """Column of the last token of each prompt; 0 where there is none."""
        column = torch.arange(self.ids.shape[1], device=self.ids.device)
        first = torch.where(self.mask, column, self.last[:, None] + 1).amin(-1)
        return (first - 1).clamp(min=0)

    def to(self, device: str | torch.device) -> "Tokens":
        """The same tokens on another device."""
        return Tokens(*(getattr(self, f.name).to(device) for f in fields(self)))

    def padded(self, time: int) -> "Tokens":
        """The same tokens with padding up to ``time`` columns."""
        extra = time - self.ids.shape[1]
        if extra < 0:
            raise ValueError(f"{self.ids.shape[1]} columns do not fit into {time}")
        # the new columns hold id 0: any id does, the masks rule
        grow = {
            name: torch.nn.functional.pad(getattr(self, name), (0, extra))
            for name in ("ids", "mask", "attention")
        }
        return replace(self, **grow)

    def same(self, other: "Tokens") -> Bool[Tensor, " batch"]:
        """Where both hold the same tokens, whatever stands in their padding.

        Args:
            other: as many rows; the narrower of the two is padded.
        """
        time = max(self.ids.shape[1], other.ids.shape[1])
        one, two = self.padded(time), other.padded(time)
        equal = ((one.ids == two.ids) | ~one.attention).all(-1)
        return equal & (one.attention == two.attention).all(-1)

    @staticmethod
    def cat(parts: "list[Tokens]") -> "Tokens":
        """Stack batches of different widths on top of each other."""
        time = max(part.ids.shape[1] for part in parts)
        parts = [part.padded(time) for part in parts]
        return Tokens(
            *(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Tokens))
        )
