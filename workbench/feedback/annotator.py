"""What an annotator tells us of rewards that only the world knows.

Population forms return probabilities, for exact checks; sampled forms draw from them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_EULER = 0.5772156649015329  # mean of a standard Gumbel variable


@dataclass(frozen=True)
class Annotator:
    """A Bradley–Terry annotator with the usual faults.

    p(a ≻ b) = σ((r_a − r_b + length_bias·(|a| − |b|)) / temperature), then flipped with
    probability ``flip``.

    Attributes:
        temperature: reward units; small is decisive.
        flip: probability that the label is recorded the wrong way round, 0 to ½.
        length_bias: reward units per unit of length that longer responses are overrated
            by. The lengths are the caller's: ``sample_pairs`` and ``population_pairs``
            count words, ``compare`` counts tokens. In an exact world a full-length
            response has no end token, so the two differ by more than a constant.
        deterministic: the better response always wins; ties are fair coins.
    """

    temperature: float = 1.0
    flip: float = 0.0
    length_bias: float = 0.0
    deterministic: bool = False

    def __post_init__(self):
        if self.temperature <= 0:
            raise ValueError("temperature is positive; deterministic=True has no noise")
        if not 0 <= self.flip <= 0.5:
            raise ValueError(f"flip is between 0 and ½, not {self.flip}")

    def probability(
        self,
        first: Float[Tensor, "*shape"],
        second: Float[Tensor, "*#shape"],
        first_length: Int[Tensor, "*#shape"] | None = None,
        second_length: Int[Tensor, "*#shape"] | None = None,
    ) -> Float[Tensor, "*shape"]:
        """p(first ≻ second), the soft label.

        Args:
            first: rewards of the first responses, reward units.
            second: rewards of the second responses.
            first_length: tokens; needed only with a length bias.
            second_length: tokens.

        Raises:
            ValueError: a length-biased annotator was given no lengths.
        """
        gap = first - second
        if self.length_bias:
            if first_length is None or second_length is None:
                raise ValueError("a length-biased annotator needs both lengths")
            gap = gap + self.length_bias * (first_length - second_length)
        if self.deterministic:
            clean = 0.5 + 0.5 * gap.sign()
        else:
            clean = (gap / self.temperature).sigmoid()
        return clean * (1 - self.flip) + (1 - clean) * self.flip

    def prefers_first(
        self, first, second, generator, first_length=None, second_length=None
    ) -> Bool[Tensor, "*shape"]:
        """One drawn label per pair: True where the first response is called better."""
        chance = self.probability(first, second, first_length, second_length)
        drawn = torch.rand(chance.shape, generator=generator, dtype=torch.float64)
        return drawn < chance

    def thumb_probability(
        self, reward: Float[Tensor, "*shape"], bar: float = 0.0
    ) -> Float[Tensor, "*shape"]:
        """p(thumb up) of single responses: the response against a bar, reward units."""
        return self.probability(reward, torch.full_like(reward, bar))

    def thumbs(self, reward, generator, bar: float = 0.0) -> Bool[Tensor, "*shape"]:
        """One drawn thumb per response; length bias has no say in a single response."""
        chance = Annotator(
            self.temperature, self.flip, deterministic=self.deterministic
        ).thumb_probability(reward, bar)
        return torch.rand(chance.shape, generator=generator, dtype=torch.float64) < (
            chance
        )

    def scores(
        self, reward: Float[Tensor, "*shape"], generator, levels: int = 5
    ) -> Int[Tensor, "*shape"]:
        """Ratings 1 … ``levels``: the reward plus logistic noise, cut at even steps.

        The middle level is centred on reward 0 and a level is one reward unit wide.
        """
        uniform = torch.rand(reward.shape, generator=generator, dtype=torch.float64)
        noise = self.temperature * (uniform.log() - (-uniform).log1p())
        utility = reward if self.deterministic else reward + noise
        return (utility + (levels + 1) / 2).round().long().clamp(1, levels)

    def rank(
        self, reward: Float[Tensor, "batch group"], generator
    ) -> Int[Tensor, "batch group"]:
        """Orders of lists, best first, from Plackett–Luce (Gumbel noise, then sort).

        Two items of a list are ordered as Bradley–Terry with the same temperature.
        """
        utility = self.utilities(reward, generator) / self.temperature
        return utility.argsort(-1, descending=True)

    def utilities(self, reward: Float[Tensor, "*shape"], generator):
        """What the annotator feels for each response once: reward plus Gumbel noise.

        Whoever calls the greater of two better is this Bradley–Terry annotator; whoever
        sorts a list by them ranks it as Plackett–Luce. So pairs, lists and scores made
        of the same utilities carry the same information. Neither flips nor length bias
        have a say here; a deterministic annotator feels the reward.

        Returns:
            reward units, float64; the mean of the noise is 0.
        """
        if self.deterministic:
            return reward.double()
        uniform = torch.rand(reward.shape, generator=generator, dtype=torch.float64)
        gumbel = -(-uniform.log()).log() - _EULER
        return reward.double() + self.temperature * gumbel
