"""Pairs that several models score: whose score stands where."""

import torch
from torch.testing import assert_close

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.ensemble_scores import EnsemblePairs, EnsembleScores
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.feedback.labels import Labels
from workbench.models.heads import ScoreModel
from workbench.models.reward_ensemble import RewardEnsemble
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)


def some_pairs(n=12, seed=1) -> Pairs:
    even = torch.zeros(WORLD.n_prompts, WORLD.n_responses).log_softmax(-1)
    return sample_pairs(WORLD, even, n, Annotator(), generator(seed))


def small(size=3, seed=0) -> RewardEnsemble:
    return RewardEnsemble.tiny(WORLD.vocab, size, width=16, layers=1, seed=seed)


def test_each_column_holds_the_scores_of_one_model():
    data, rows = Labels(pairs=some_pairs()).data(EnsembleScores), torch.tensor([4, 0])
    assert isinstance(data, EnsemblePairs) and len(data) == len(data.weight) == 12
    batch = data.batch(small(seed=1), rows, data.reference_logps(None))
    pairs = some_pairs()[rows]
    for model in range(3):
        alone = ScoreModel.tiny(WORLD.vocab, 16, 1, seed=3 + model)
        assert_close(batch.chosen[:, model], alone.scores(pairs.chosen))
        assert_close(batch.rejected[:, model], alone.scores(pairs.rejected))
    assert_close(batch.margin(), batch.chosen - batch.rejected)
    assert_close(batch.swapped().margin(), -batch.margin())


def test_two_seeds_side_by_side_read_their_own_pairs_with_their_own_models():
    parts = [EnsemblePairs(some_pairs(seed=seed)) for seed in (1, 2)]
    made = [small(seed=seed) for seed in (0, 1)]
    both, stack = EnsemblePairs.cat(parts), RewardEnsemble.stack(made)
    rows = torch.tensor([3, 7, 12 + 5, 12 + 0])
    batch = both.batch(stack, rows)
    for seed, own in enumerate((torch.tensor([3, 7]), torch.tensor([5, 0]))):
        alone = parts[seed].batch(made[seed], own)
        assert_close(batch.chosen[2 * seed :][:2], alone.chosen)
        assert_close(batch.rejected[2 * seed :][:2], alone.rejected)
