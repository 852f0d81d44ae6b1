"""What an audit was asked for, checked before anything is loaded."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.core.errors import BadOption
from workbench.experiment.training_settings import MOST, check_columns, check_word
from workbench.feedback.rows import check_extension


@dataclass(frozen=True)
class Settings:
    """What an audit is asked for.

    Attributes:
        reference: folder of the checkpoint that training started from.
        policy: what came of it: a checkpoint, an adapter, which is merged into the
            reference, or the output folder of a training program.
        pairs: a preference file of pairs.
        beta: reward units per nat, as in training.
        samples: responses drawn of each of the two, over the file's prompts.
        max_new: longest sampled response, tokens.
        max_length, columns, special_tokens, skip_bad: as for training.
        most: pairs that are read at most, the first ones of each file.
        held_out: a file of pairs that were not trained on, for the gap.
        reward: folder of a reward model that scores the samples.
    """

    reference: str
    policy: str
    pairs: str
    beta: float = 0.1
    samples: int = 64
    max_new: int = 64
    max_length: int = 512
    columns: dict[str, str] = field(default_factory=dict)
    special_tokens: str = "yes"
    skip_bad: bool = False
    most: int = 2000
    held_out: str | None = None
    reward: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise BadOption(f"--beta is positive and finite, not {self.beta:g}")
        check_word("special-tokens", self.special_tokens, ("yes", "no"))
        check_columns(self.columns)
        for path in filter(None, (self.pairs, self.held_out)):
            check_extension(Path(path))
        least = {"samples": 2, "max_new": 1, "max_length": 4, "most": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if not low <= value <= MOST:
                limit = f"at least {low}" if value < low else f"at most {MOST}"
                raise BadOption(f"--{name.replace('_', '-')} is {limit}")

    def card(self) -> dict[str, Any]:
        """What identifies the audit."""
        return asdict(self)
