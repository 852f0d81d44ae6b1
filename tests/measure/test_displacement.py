"""Displacement: changes by hand, CHES without padding, and first-order predictions."""

import pytest
import torch
from torch import nn

from workbench.core.seeds import generator
from workbench.core.statistics import rank_correlation
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.measure import displacement
from workbench.methods.direct.links import dpo
from workbench.models.policy import TabularPolicy
from workbench.models.tiny import decoder
from workbench.worlds.probes import YesNo
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=3)  # responses of two and three tokens
REF = WORLD.author
NOISE = torch.randn(REF.shape, generator=generator(1), dtype=torch.float64)
OTHER = (REF + NOISE).log_softmax(-1)


@pytest.fixture(scope="module")
def pairs():
    return sample_pairs(WORLD, REF, 12, Annotator(), generator(3))


@pytest.fixture(scope="module")
def small():
    return decoder(WORLD.vocab, width=16, layers=1, seed=1)


def pair_of(world, prompt, chosen, rejected):
    """One pair by numbers."""
    sides = [world.tokens(torch.tensor([prompt]), torch.tensor([y]))
             for y in (chosen, rejected)]  # fmt: skip
    return Pairs(*sides, torch.ones(1, dtype=torch.float64))


def test_changes_are_log_probs_after_minus_before(pairs):
    before = pairs.reference_logps(TabularPolicy(WORLD, REF))
    frame = displacement.change(TabularPolicy(WORLD, OTHER), pairs, before)
    prompt = pairs.chosen.prompt
    for side, tokens in (("chosen", pairs.chosen), ("rejected", pairs.rejected)):
        gap = (OTHER - REF)[prompt, tokens.response]
        assert frame[side].tolist() == pytest.approx(gap.tolist())
    gap = frame["chosen"] - frame["rejected"]
    assert frame["margin"].tolist() == pytest.approx(gap.tolist())


def test_each_member_reads_its_own_pairs_or_all_of_them(pairs, stack):
    before = pairs.reference_logps(TabularPolicy(WORLD, REF))
    two = stack(WORLD, [REF, OTHER])
    own = displacement.change(two, pairs, before)
    assert own["seed"].tolist() == [0] * 6 + [1] * 6
    assert own["chosen"][:6].abs().max() < 1e-12
    alone = displacement.change(TabularPolicy(WORLD, OTHER), pairs, before)
    assert own["chosen"][6:].tolist() == pytest.approx(alone["chosen"][6:].tolist())
    every = displacement.change(two, pairs, before, shared=True)
    assert every["pair"].tolist() == [*range(12)] * 2
    assert every["chosen"][12:].tolist() == pytest.approx(alone["chosen"].tolist())


def test_the_mass_went_where_it_was_put():
    after = REF.exp() * 0.9
    after[1, 7] += 0.1
    frame = displacement.gains(after.log(), WORLD, REF, most=2)
    row = frame[(frame["prompt"] == "plot")].iloc[0]
    assert row["response"] == 7 and row["text"] == WORLD.text(7)
    gain = 0.1 - 0.1 * REF[1, 7].exp().item()
    assert row["gain"] == pytest.approx(gain)
    assert row["after"] - row["before"] == pytest.approx(gain)
    assert row["gold"] == WORLD.gold[1, 7].item()
    assert len(frame) == 8


def unpadded(policy, tokens, row):
    """Σ h by a forward pass over one row without its padding or its last token."""
    ids = tokens.ids[row][tokens.attention[row]][None]
    first = int((~tokens.mask[row]).int().cumprod(0).sum()) - 1  # last prompt token
    model = policy.network.model
    states = model.model(input_ids=ids[:, :-1], use_cache=False)[0][0]
    return states[first:].double().sum(0)


@torch.no_grad()
def test_hidden_states_are_what_the_unembedding_reads(small, pairs):
    ids = pairs.chosen.ids
    states = small.network.model(input_ids=ids, output_hidden_states=True)
    head = small.network.model.lm_head(states.hidden_states[-1])
    torch.testing.assert_close(head, small.network(ids))


@torch.no_grad()
def test_sums_run_from_the_last_prompt_token_to_the_last_but_one(small, pairs):
    lengths = set(pairs.chosen.lengths.tolist())
    assert len(lengths) > 1
    for tokens in (pairs.chosen, pairs.chosen.padded(9)):
        sums = displacement.hidden_sums(small, tokens)
        rows = [unpadded(small, tokens, row) for row in range(len(tokens))]
        torch.testing.assert_close(sums, torch.stack(rows), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_ches_by_its_definition(small, pairs):
    frame = displacement.ches(small, pairs)
    for row in range(len(pairs)):
        plus = unpadded(small, pairs.chosen, row)
        minus = unpadded(small, pairs.rejected, row)
        score = plus @ minus - plus @ plus
        assert frame["ches"][row] == pytest.approx(score.item(), rel=1e-4, abs=1e-4)
        n, m = (int(t.lengths[row]) for t in (pairs.chosen, pairs.rejected))
        mean = plus @ minus / (n * m) - plus @ plus / n**2
        assert frame["ches_mean"][row] == pytest.approx(mean.item(), rel=1e-4, abs=1e-4)


def test_ches_is_not_symmetric_and_blind_to_padding(small, pairs):
    frame = displacement.ches(small, pairs)
    swapped = displacement.ches(
        small, Pairs(pairs.rejected, pairs.chosen, pairs.weight)
    )
    assert (frame["ches"] - swapped["ches"]).abs().max() > 0.1
    wide = Pairs(pairs.chosen.padded(8), pairs.rejected.padded(6), pairs.weight)
    same = displacement.ches(small, wide)
    assert frame["ches"].tolist() == pytest.approx(same["ches"].tolist(), abs=1e-4)
    # the published slice: the last column, which only the longest responses reach
    mask = pairs.chosen.mask.clone()
    mask[:, -1] = False
    assert not torch.equal(mask, displacement.reading_mask(pairs.chosen))


def test_a_stack_is_refused(small, pairs):
    for measure in (displacement.ches, displacement.influence):
        with pytest.raises(ValueError, match="member"):
            measure(small.copies(2), pairs)


class PrefixTable(nn.Module):
    """Own logits for each next token at each prefix."""

    members = 1

    def __init__(self, world, table):
        super().__init__()
        self.world, self.table = world, nn.Parameter(table)

    def token_logps(self, tokens):
        nodes, actions = self.world.tree.paths(tokens.response)
        logps = self.table.log_softmax(-1)[tokens.prompt[:, None], nodes.clamp(min=0)]
        picked = logps.gather(-1, actions.clamp(min=0)[..., None])[..., 0]
        return nn.functional.pad(torch.where(actions >= 0, picked, 0.0), (1, 0))


class Shared(nn.Module):
    """One number θ for all responses: log π = log softmax(θ·feature)."""

    members = 1

    def __init__(self, feature):
        super().__init__()
        self.feature = feature
        self.theta = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def token_logps(self, tokens: Tokens):
        logps = (self.theta * self.feature).log_softmax(-1)[tokens.response]
        first = tokens.mask.int().cumsum(-1) == 1
        return torch.where(first & tokens.mask, logps[:, None], 0.0)


def test_no_table_displaces_a_single_pair():
    """200 random tables over responses and over prefixes; the first in closed form.

    ⟨e_c − π, e_c − e_r⟩ = 1 − π(y_c) + π(y_r).
    """
    world, draw = YesNo({}), generator(9)
    for _ in range(200):
        flat = torch.randn(1, 7, generator=draw, dtype=torch.float64) * 3
        table = torch.randn(1, 3, 3, generator=draw, dtype=torch.float64) * 3
        c, r = torch.randperm(7, generator=draw)[:2].tolist()
        pair = pair_of(world, 0, c, r)
        chances = flat.softmax(-1)[0]
        row = displacement.first_order(TabularPolicy(world, flat), pair).iloc[0]
        assert row["chosen"] == pytest.approx((1 - chances[c] + chances[r]).item())
        assert row["rejected"] == pytest.approx(-(1 - chances[r] + chances[c]).item())
        row = displacement.first_order(PrefixTable(world, table), pair).iloc[0]
        assert row["chosen"] > 0 > row["rejected"]


def test_shared_parameters_can():
    """θ = 0, seven responses, features 1 (chosen), 0 (rejected), 10 and else 0.

    ∇ log π(y_c) = 1 − 11/7 = −4/7, ∇ log π(y_r) = −11/7: the product with their
    difference 1 is −4/7. The third response takes the mass.
    """
    world = YesNo({})
    feature = torch.tensor([0.0, 1.0, 0.0, 10.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    row = displacement.first_order(Shared(feature), pair_of(world, 0, 1, 2)).iloc[0]
    assert row["chosen"] == pytest.approx(-4 / 7)
    assert row["rejected"] == pytest.approx(-11 / 7)


def sequence(policy, tokens):
    """log π(y) of each response, float64."""
    return policy.token_logps(tokens).double().sum(-1).detach()


@pytest.mark.parametrize("trained", [0, 5])
def test_a_small_step_changes_log_probs_as_foretold(small, pairs, trained):
    """SGD on the DPO loss of one pair at D = 0: −ℓ′ = β/2."""
    eta, cfg = 2e-3, dpo.Config(beta=0.4)
    chosen, rejected = displacement.influence(small.member(0), pairs)
    policy = small.member(0)
    before = [sequence(policy, t) for t in (pairs.chosen, pairs.rejected)]
    cached = pairs.reference_logps(small)
    dpo.loss(pairs.batch(policy, torch.tensor([trained]), cached), cfg).sum().backward()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter -= eta * parameter.grad
    after = [sequence(policy, t) for t in (pairs.chosen, pairs.rejected)]
    for table, was, now in zip((chosen, rejected), before, after, strict=True):
        foretold = eta * cfg.beta / 2 * table[:, trained]
        error = (now - was - foretold).abs().max()
        assert error < 0.1 * foretold.abs().max()


def test_first_order_is_the_diagonal_and_the_mean_of_the_rows(small, pairs):
    chosen, rejected = displacement.influence(small.member(0), pairs)
    frame = displacement.first_order(small.member(0), pairs)
    for name, table in (("chosen", chosen), ("rejected", rejected)):
        assert frame[name].tolist() == pytest.approx(table.diagonal().tolist())
        assert frame[f"{name}_batch"].tolist() == pytest.approx(table.mean(-1).tolist())


def test_edits_are_counted():
    def tokens(*texts):
        numbers = torch.tensor([WORLD.index(text) for text in texts])
        return WORLD.tokens(torch.zeros(len(texts), dtype=torch.long), numbers)

    first = tokens("good fun", "good", "(silence)", "bad")
    second = tokens("good fun", "bad", "very good", "very bad")
    assert displacement.edit_distance(first, second) == [0, 1, 2, 1]


def test_rank_correlation_by_hand():
    """Ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): 4.5/√(4.5·5) = √0.9."""
    value = rank_correlation([0.0, 5.0, 5.0, 9.0], [1.0, 2.0, 30.0, 31.0])
    assert value == pytest.approx(0.9**0.5)
    assert rank_correlation([1.0, 2.0, 3.0], [9.0, 4.0, -1.0]) == -1.0
