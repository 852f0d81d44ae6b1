"""Five tiny problems with known answers: the first that fails names the broken part.

Every probe asks one or two prompts for one of two responses. At the optimum
π* ∝ π_ref exp(r/β) the implicit rewards of the two differ by exactly r(better) −
r(worse), whatever the method. That margin is what is read:

    reading = β·[log π/π_ref(better) − log π/π_ref(worse)], in reward units.

The probes are a ladder: three ask for the sign of the reading, two for its size, and
each is blind to what later ones try. Read the first failure, not their number.

Source: the probe environments of Jones 2021; bsuite (Osband et al. 2020, 1908.03568).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.worlds.enumerated import Enumerated

WORDS = ("yes", "no")
BETA = 0.5  # neither 1, where a forgotten β is not seen, nor so small that π* is greedy
SIGN = 0.2  # reward units; at the start every reading but that of "reference" is near 0
SIZE = 0.15  # reward units, half-width of the last two ranges

LogDistribution = Float[Tensor, "prompt response"]


class YesNo(Enumerated):
    """Seven answers of at most two words, and the reward of each.

    Args:
        reward: answer to reward, one mapping per prompt; 0 elsewhere.
    """

    name = "yes-no"
    words = WORDS

    def __init__(self, *reward: dict[str, float]):
        self.prompts = ("left?", "right?")[: len(reward)]
        super().__init__(max_words=2)
        self.gold = torch.zeros(len(reward), self.n_responses, dtype=torch.float64)
        for prompt, values in enumerate(reward):
            for text, value in values.items():
                self.gold[prompt, self.index(text)] = value


@dataclass(frozen=True)
class Probe:
    """One tiny problem.

    Attributes:
        name: of the probe.
        part: what is broken when this is the first probe to fail.
        world: its prompts, responses and rewards.
        better: the better answer to each prompt.
        worse: the other answer; of equal worth in "no reward".
        low, high: readings between these pass, reward units.
        odds: how much likelier ``better`` is than any other answer under π_ref.
        beta: reward units per nat.
    """

    name: str
    part: str
    world: YesNo
    better: tuple[str, ...]
    worse: tuple[str, ...]
    low: float
    high: float = torch.inf
    odds: float = 1.0
    beta: float = BETA

    @property
    def pair(self) -> Int[Tensor, "prompt 2"]:
        """The numbers of the better and the worse answer to each prompt."""
        texts = zip(self.better, self.worse, strict=True)
        return torch.tensor([[self.world.index(text) for text in two] for two in texts])

    @property
    def ref_logps(self) -> LogDistribution:
        """log π_ref: all answers alike, but for ``odds``."""
        weight = torch.ones_like(self.world.gold)
        weight = weight.scatter(-1, self.pair[:, :1], self.odds)
        return weight.log().log_softmax(-1)

    @property
    def answer(self) -> float:
        """The reading of π*: r(better) − r(worse), in reward units."""
        return self._gap(self.world.gold[None])[0, 0].item()

    def readings(self, logps: Float[Tensor, "*member prompt response"]) -> list[float]:
        """The margin of each member, at the prompt where it is furthest off.

        Args:
            logps: log π of every response.
        """
        log_probs = logps.detach().double().reshape(-1, *self.world.gold.shape)
        margin = self.beta * self._gap(log_probs - self.ref_logps)
        worst = (margin - self.answer).abs().argmax(-1, keepdim=True)
        return margin.gather(-1, worst)[:, 0].tolist()

    def _gap(self, values: Float[Tensor, "member prompt response"]) -> Tensor:
        both = values.gather(-1, self.pair.expand(len(values), -1, -1))
        return both[..., 0] - both[..., 1]


_ONE = YesNo({"yes": 1.0})
_TWO = YesNo({"yes": 1.0}, {"no": 1.0})
_YES, _NO = ("yes",), ("no",)

PROBES = (
    Probe("one answer", "the gradient", _ONE, _YES, _NO, SIGN),
    Probe("two prompts", "the prompt", _TWO, _YES + _NO, _NO + _YES, SIGN),
    Probe("the end", "the last token", _ONE, _YES, ("yes yes",), SIGN),
    Probe("no reward", "the reference", YesNo({}), _YES, _NO, -SIZE, SIZE, odds=8.0),
    Probe("a price", "the scale", _ONE, _YES, _NO, 1 - SIZE, 1 + SIZE),
)


def diagnose(train: Callable[[Probe], Float[Tensor, "*member prompt response"]]):
    """Climb the ladder.

    Args:
        train: solves a probe from scratch; returns log π of its responses, by seed.

    Returns:
        DataFrame[probe, part, seed, reading, low, high, passed], in reward units.
    """
    import pandas as pd

    rows = []
    for probe in PROBES:
        for seed, reading in enumerate(probe.readings(train(probe))):
            row = {"probe": probe.name, "part": probe.part, "seed": seed}
            row |= {"reading": reading, "low": probe.low, "high": probe.high}
            rows.append(row | {"passed": probe.low <= reading <= probe.high})
    return pd.DataFrame(rows)


def broken_part(readings) -> str:
    """The part that the first failing probe names, for one seed of ``diagnose``.

    Returns:
        ``Probe.part``, or "nothing" when all probes pass.
    """
    failed = readings.loc[~readings["passed"], "part"]
    return "nothing" if failed.empty else failed.iloc[0]
