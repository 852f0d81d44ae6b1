"""Several reward models as one: apart in their weights, together in their reward."""

import pytest
import torch
from torch.testing import assert_close

from workbench.core.contracts import RewardModel
from workbench.core.tokens import Tokens
from workbench.models.heads import ScoreModel
from workbench.models.reward_ensemble import RewardEnsemble, combined
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)
SIZE = {"width": 16, "layers": 1}


def some_tokens(n=12) -> Tokens:
    prompt = torch.arange(n) % WORLD.n_prompts
    return WORLD.tokens(prompt, (torch.arange(n) * 7) % WORLD.n_responses)


@pytest.fixture(scope="module")
def ensemble():
    return RewardEnsemble.tiny(WORLD.vocab, 3, **SIZE, seed=1)


def test_models_start_apart_and_no_two_seeds_share_one(ensemble):
    assert (ensemble.members, ensemble.size) == (1, 3)
    other = RewardEnsemble.tiny(WORLD.vocab, 3, **SIZE, seed=0)
    with torch.no_grad():
        each = [model.member_scores(some_tokens()) for model in (other, ensemble)]
    columns = torch.cat(each, dim=1).T
    assert torch.pdist(columns).min() > 0.1


def test_a_model_learns_from_its_own_column_alone(ensemble):
    """The slope of model 1's scores is 0 in the weights of models 0 and 2."""
    total = ensemble.member_scores(some_tokens())[:, 1].sum()
    slopes = torch.autograd.grad(total, list(ensemble.parameters()))
    assert all(slope[[0, 2]].abs().max() == 0 for slope in slopes)
    assert any(slope[1].any() for slope in slopes)


@torch.no_grad()
def test_uncertainty_is_the_variance_and_0_where_models_are_alike(ensemble):
    scores = ensemble.member_scores(some_tokens())
    assert_close(ensemble.uncertainty(some_tokens()), scores.var(-1, correction=0))
    one = ScoreModel.tiny(WORLD.vocab, 16, 1)
    alike = RewardEnsemble(ScoreModel.stack([one] * 3))
    assert alike.uncertainty(some_tokens()).max() < 1e-10
    for how in ("mean", "worst", "uncertainty"):
        got = alike.combined(how, 0.5)(some_tokens())
        assert_close(got, one.scores(some_tokens()), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_combined_reward_is_a_reward_model_also_of_several_seeds(ensemble):
    other = RewardEnsemble.tiny(WORLD.vocab, 3, **SIZE, seed=0)
    stack, tokens = RewardEnsemble.stack([other, ensemble]), some_tokens()
    judge = stack.combined("worst", 0.0)
    assert isinstance(judge, RewardModel) and judge.members == stack.members == 2
    table, got = judge.score_all(WORLD), judge.scores(Tokens.cat([tokens, tokens]))
    assert table.shape == (2, WORLD.n_prompts, WORLD.n_responses)
    for seed, model in enumerate((other, ensemble)):
        worst = model.member_scores(tokens).amin(-1)
        assert_close(got[12 * seed :][:12], worst, atol=1e-5, rtol=0)
        told = table[seed, tokens.prompt, tokens.response]
        assert_close(told, worst.double(), atol=1e-5, rtol=0)
        alone = model.combined("worst", 0.0).score_all(WORLD)
        assert_close(table[seed], alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_normalised_scores_have_a_common_level_and_spread(ensemble):
    """Whatever constant and factor a model had, the combined reward is the same."""
    tokens = some_tokens()
    plain = ensemble.combined("uncertainty", 0.3)
    judge = plain.normalised(tokens)
    each = ensemble.member_scores(tokens)
    common = (each - each.mean(0)) / each.std(0)
    assert_close(judge(tokens), combined(common, "uncertainty", 0.3))
    told = judge.score_all(WORLD)[tokens.prompt, tokens.response]
    assert_close(judge(tokens).double(), told, atol=1e-5, rtol=0)
    assert (judge(tokens) - plain(tokens)).abs().max() > 0.1


def test_models_are_saved_one_by_one_and_a_state_comes_back(ensemble, tmp_path):
    from transformers import LlamaForSequenceClassification as Saved

    ensemble.save(tmp_path / "one")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["member-0", "member-1", "member-2"]
    read = Saved.from_pretrained(tmp_path / "one" / "member-2", local_files_only=True)
    kept = ensemble.models.network.member(2).model.state_dict()
    assert all(torch.equal(v, kept[k]) for k, v in read.state_dict().items())
    RewardEnsemble.stack([ensemble, ensemble]).save(tmp_path / "two")
    assert (tmp_path / "two" / "seed-1" / "member-2" / "config.json").is_file()
    other = RewardEnsemble.tiny(WORLD.vocab, 3, **SIZE, seed=5)
    other.load_state_dict(ensemble.state_dict())
    with torch.no_grad():
        one, two = (m.member_scores(some_tokens()) for m in (ensemble, other))
    assert_close(one, two)
