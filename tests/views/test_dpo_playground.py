"""The playground: its gradient is the library's, its draws are shared, its numbers."""

import json

import pytest
import torch

from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import PairLogps, Pairs, population_pairs
from workbench.methods.direct.links import dpo
from workbench.views.instruments import dpo_playground
from workbench.views.instruments.playground_state import (
    KEPT,
    STEP,
    labelled,
    measured,
    pair_gradient,
    playground_state,
    table_path,
)
from workbench.views.instruments.states import MOST
from workbench.views.layers import Points
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

BETA = 0.4


@pytest.fixture(scope="module")
def world():
    return Reviews(2)


@pytest.fixture(scope="module")
def pairs(world):
    return labelled(world, world.author, 0.0, 0.0)


@pytest.fixture(scope="module")
def playground():
    """On reviews of three words, with the author in the place of the reference."""
    world = Reviews(3)
    return dpo_playground(world, world.author, live=True)


def token_logps(world, logps, tokens):
    """log π of each token, from the conditionals of a table: [batch, time]."""
    nodes, actions = world.tree.paths(tokens.response)
    tables = world.tree.conditionals(logps)[tokens.prompt[:, None], nodes]
    values = tables.gather(-1, actions.clamp(min=0)[..., None])[..., 0]
    return torch.where(actions >= 0, values, 0.0), actions >= 0


@pytest.mark.parametrize("mean", [False, True])
def test_the_gradient_is_that_of_the_loss_on_token_log_probs(world, pairs, mean):
    """Autograd of `dpo.loss`, or of its mistake, through the words of each review."""
    few, draws = pairs[:40], torch.Generator().manual_seed(3)
    noise = torch.randn(world.author.shape, generator=draws, dtype=torch.float64)
    logits = (world.author + noise).requires_grad_()
    logps, parts = logits.log_softmax(-1), {}
    for side, tokens in (("chosen", few.chosen), ("rejected", few.rejected)):
        parts[f"policy_{side}"], mask = token_logps(world, logps, tokens)
        parts[f"ref_{side}"], _ = token_logps(world, world.author, tokens)
        parts[f"{side}_mask"] = mask
    loss = dpo.mistakes["2 mean over tokens"] if mean else dpo.loss
    loss(PairLogps(**parts), dpo.Config(beta=BETA)).mean().backward()
    ours = pair_gradient(logps.detach(), world.author, few, BETA, mean)
    assert (ours - logits.grad).abs().max() < 1e-10
    assert logits.grad.abs().max() > 1e-3


def test_one_step_by_hand(world, pairs):
    """Every pair pushes β/2 at the reference; the step is 40/β² times their mean."""
    path = table_path(world.author, pairs[:1], BETA, False)
    moved = path[1] - path[0]
    tokens = pairs[:1]
    chosen = tokens.chosen.prompt.item(), tokens.chosen.response.item()
    rejected = tokens.rejected.prompt.item(), tokens.rejected.response.item()
    assert KEPT[:2] == (0, 1)
    assert (moved[chosen] - moved[rejected]).item() == pytest.approx(STEP / BETA)
    assert torch.equal(path[0], world.author.log_softmax(-1))


def test_with_every_pair_at_its_probability_it_ends_at_the_optimum():
    """Infinitely many labels: then the minimiser is π*, whatever writes the pairs."""
    world = Reviews(1)
    uniform = torch.zeros_like(world.author).log_softmax(-1)
    clean, parts = Annotator(), []
    for prompt in range(world.n_prompts):
        every = population_pairs(world, prompt, uniform[prompt], clean)
        copies = (100 * every.weight).round().long()
        parts.append(every[torch.arange(len(every)).repeat_interleave(copies)])
    state = playground_state(world, uniform, Pairs.cat(parts), 1.0, KEPT[-1], False)
    assert state.distance < 1e-3 < solutions.kl(uniform, state.optimum).mean()


def test_the_loss_falls_at_every_step(world, pairs):
    """The step is not too long, even for few pairs."""
    for n in (50, 2000):
        path = table_path(world.author, pairs[:n], BETA, False)
        ratios = (path - world.author)[:, pairs.chosen.prompt[:n]]
        rows = torch.arange(n)
        chosen = ratios[:, rows, pairs.chosen.response[:n]]
        rejected = ratios[:, rows, pairs.rejected.response[:n]]
        losses = dpo.link(chosen - rejected, dpo.Config(beta=BETA)).mean(1)
        assert (losses.diff() < 0).all()


def test_a_fault_changes_labels_and_nothing_else(world, pairs):
    """The same reviews meet, and many flips turn all labels that few flips turn."""

    def met(data):
        sides = torch.stack([data.chosen.response, data.rejected.response])
        return sides.sort(0).values

    def turned(data):
        return data.chosen.response != pairs.chosen.response

    some, more = (labelled(world, world.author, flip, 0.0) for flip in (0.1, 0.3))
    for data in (some, more, labelled(world, world.author, 0.0, 1.0)):
        assert torch.equal(met(data), met(pairs))
        assert torch.equal(data.chosen.prompt, pairs.chosen.prompt)
    assert 0 < turned(some).sum() < turned(more).sum()
    assert not (turned(some) & ~turned(more)).any()
    longer = labelled(world, world.author, 0.0, 1.0)
    words = world.n_words[longer.chosen.response]
    assert words.double().mean() > world.n_words[pairs.chosen.response].double().mean()


def test_what_is_measured_by_hand(world, pairs):
    """A path of two policies: the reference, and the optimum of twice the price."""
    best = solutions.optimal_policy(world.author, world.gold, 2 * BETA)
    path = torch.stack([world.author, best])
    state = measured(world, world.author, pairs[:8], BETA, path)
    last, row = state.curves.iloc[1], torch.arange(8) % 4
    for side in ("chosen", "rejected"):
        response = getattr(pairs[:8], side).response
        by_hand = (BETA * (best - world.author)[row, response]).mean()
        assert last[side] == pytest.approx(by_hand.item())
    assert last["margin"] == pytest.approx(last["chosen"] - last["rejected"])
    nats = (best.exp() * (best - world.author)).sum(1).mean()
    assert last["kl"] == pytest.approx(nats.item())
    assert last["gold"] == pytest.approx((best.exp() * world.gold).sum(1).mean().item())
    star = solutions.optimal_policy(world.author, world.gold, BETA)
    gap = (best.exp() * (best - star)).sum(1).mean()
    assert state.distance == pytest.approx(gap.item())
    words = (best.exp() * world.n_words).sum(1).mean()
    assert state.words == pytest.approx(words.item())
    assert state.curves.iloc[0, 1:5].abs().max() < 1e-12


def test_every_beta_gives_the_same_margins(world, pairs):
    """In reward units the sum over tokens moves alike under every price."""
    low, high = (
        playground_state(world, world.author, pairs[:100], b, 20, False).curves
        for b in (0.2, 2.0)
    )
    assert low["margin"].tolist() == pytest.approx(high["margin"].tolist())
    assert low["kl"].iloc[-1] > 2 * high["kl"].iloc[-1]


def test_the_figure_says_what_the_state_says(playground):
    figure = playground.draw(0.3, 500, 0.2, 0.0, 100, False)
    world = Reviews(3)
    data = labelled(world, world.author, 0.2, 0.0)[:500]
    state = playground_state(world, world.author, data, 0.3, 100, False)
    end = state.curves.iloc[-1]
    assert end["step"] == 100
    assert f"gold is {end['gold']:.2f} at a KL of {end['kl']:.2f}" in figure.caption
    assert f"KL(π‖π*) is {state.distance:.2f} nats" in figure.caption
    spots = [x for x in figure.panels.charts[2].layers if isinstance(x, Points)]
    star, here = ((spot.x[0], spot.y[0]) for spot in spots)
    assert here == pytest.approx((end["kl"] ** 0.5, end["gold"]))
    best = solutions.kl(state.optimum, world.author).mean().item()
    assert star[0] == pytest.approx(best**0.5)
    first = figure.data.iloc[0]
    likeliest = int(state.logps[0].argmax())
    assert first["review"] == world.text(likeliest)
    assert first["policy"] == pytest.approx(state.logps[0].max().exp().item())


def test_each_control_moves_the_figure_and_reset_brings_it_back(playground):
    said = playground.status.value
    moves = {"beta": 1.0, "n": 100, "flip": 0.4, "bias": 1.0, "steps": 20, "mean": True}
    assert set(moves) == set(playground.widgets)
    for name, value in moves.items():
        playground.widgets[name].value = value
        assert playground.last_error is None and playground.status.value != said
        playground.reset()
        assert playground.status.value == said


def test_the_states_of_a_book_fit_a_page(playground):
    found = playground.states()
    kept = {c["name"]: len(c["values"]) for c in found["controls"]}
    assert kept == {"beta": 4, "n": 3, "flip": 3, "bias": 1, "steps": 1, "mean": 2}
    text = json.dumps(found, separators=(",", ":"))
    assert 10_000 < len(text.encode()) <= MOST
