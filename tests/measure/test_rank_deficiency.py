"""Components of the pair graph, the mass outside it, and what a loss cannot see."""

import math

import pytest
import torch

from workbench.catalogue import methods
from workbench.core.seeds import generator
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.kinds.thumbs import ThumbLogps
from workbench.measure import rank_deficiency
from workbench.methods.direct.links import dpo, hinge, ipo
from workbench.models.policy import TabularPolicy


def pairs_of(world, *rows):
    """Pairs (prompt, chosen, rejected) by numbers."""
    prompt, chosen, rejected = torch.tensor(rows).T
    weight = torch.ones(len(rows), dtype=torch.float64)
    return Pairs(world.tokens(prompt, chosen), world.tokens(prompt, rejected), weight)


def by_search(world, rows):
    """Components by walking the graph, as lists."""
    out = []
    for prompt in range(world.n_prompts):
        near = {y: set() for y in range(world.n_responses)}
        for p, a, b in rows:
            if p == prompt:
                near[a].add(b)
                near[b].add(a)
        label = {}
        for start in near:
            queue = [start] if start not in label else []
            while queue:
                y = queue.pop()
                if y not in label:
                    label[y] = start
                    queue += near[y]
        out.append([label[y] for y in range(world.n_responses)])
    return out


def test_components_by_hand(world):
    """3–7, 7–5 and 20–21 at the film; 3–9 at the plot: nothing crosses prompts."""
    pairs = pairs_of(world, (0, 3, 7), (0, 5, 7), (0, 21, 20), (1, 9, 3))
    label = rank_deficiency.components(pairs, world)
    assert label[0, [3, 5, 7]].tolist() == [3, 3, 3]
    assert label[0, [20, 21, 22]].tolist() == [20, 20, 22]
    assert label[1, [3, 5, 9]].tolist() == [3, 5, 3]
    # 73 responses per prompt: 3 + 1 + 0 + 0 merges, minus one total each
    assert rank_deficiency.free_dimensions(label) == 4 * 72 - 3 - 1


@pytest.mark.parametrize("count", [10, 60, 200])
def test_components_of_random_graphs(world, count):
    draw = generator(count)
    prompt = torch.randint(world.n_prompts, (count,), generator=draw)
    ends = torch.randint(world.n_responses, (2, count), generator=draw)
    rows = list(zip(prompt.tolist(), *ends.tolist(), strict=True))
    label = rank_deficiency.components(pairs_of(world, *rows), world)
    assert label.tolist() == by_search(world, rows)


def test_a_long_chain_is_one_component(world):
    """The order of the pairs is against the order of the labels."""
    rows = [(2, y, y + 1) for y in reversed(range(72))]
    label = rank_deficiency.components(pairs_of(world, *rows), world)
    assert label[2].tolist() == [0] * 73


def test_unseen_mass_by_hand(world, ref, other, stack):
    pairs = pairs_of(world, (0, 3, 7), (1, 3, 5))
    mass = [1 - ref[0, [3, 7]].exp().sum(), 1 - ref[1, [3, 5]].exp().sum(), 1, 1]
    frame = rank_deficiency.unseen_mass(TabularPolicy(world, ref), world, pairs)
    assert frame["unseen"].tolist() == pytest.approx([float(sum(mass)) / 4])
    two = stack(world, [ref, other])
    own = rank_deficiency.unseen_mass(two, world, pairs)
    first = 1 - ref[0, [3, 7]].exp().sum().item() / 4
    second = 1 - other[1, [3, 5]].exp().sum().item() / 4
    assert own["unseen"].tolist() == pytest.approx([first, second])
    both = rank_deficiency.unseen_mass(two, world, pairs, shared=True)
    assert both["unseen"][0] == pytest.approx(frame["unseen"][0])


def test_the_tracker_is_the_measure(world, ref, other, stack):
    pairs, two = pairs_of(world, (0, 3, 7), (1, 3, 5)), stack(world, [ref, other])
    for shared in (False, True):
        track = rank_deficiency.UnseenTracker(world, pairs, shared=shared)
        once = rank_deficiency.unseen_mass(two, world, pairs, shared=shared)
        assert track(two).equals(once) and track(two).equals(once)


def test_rescaling_by_hand():
    logps = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.25] * 4], dtype=torch.float64).log()
    which = torch.tensor([[True, True, False, False], [False] * 4])
    new = rank_deficiency.rescaled(logps, which, 0.5).exp()
    # mass 0.3 → 0.15; the rest 0.7 → 0.85; the second prompt has no such response
    expected = [0.05, 0.1, 0.3 * 0.85 / 0.7, 0.4 * 0.85 / 0.7]
    assert new[0].tolist() == pytest.approx(expected)
    assert new[1].tolist() == pytest.approx([0.25] * 4)
    with pytest.raises(ValueError, match="too much"):
        rank_deficiency.rescaled(logps, which, 4.0)


# ---- which losses see a component's mass ------------------------------------------

ROWS = ((0, 3, 70), (0, 11, 3), (0, 1, 0), (1, 70, 5), (1, 40, 20), (2, 9, 70))


@pytest.fixture(scope="module")
def twins(world, ref, other):
    """Pairs, and two policies: one has each prompt's first component times 0.01."""
    pairs = pairs_of(world, *ROWS)
    label = rank_deficiency.components(pairs, world)
    first = torch.tensor([3, 5, 9, -1])[:, None]  # no component at the last prompt
    which = label == label.gather(1, first.clamp(min=0))
    which &= first >= 0
    moved = rank_deficiency.rescaled(other, which, 0.01)
    assert (moved - other).abs().max() > 4
    return pairs, TabularPolicy(world, other), TabularPolicy(world, moved)


def losses(method, cfg, world, ref, twins, make=None):
    """The loss of both policies on the same pairs."""
    pairs, *policies = twins
    cached = pairs.reference_logps(TabularPolicy(world, ref))
    batches = (pairs.batch(p, torch.arange(len(pairs)), cached) for p in policies)
    return [method.loss(make(b) if make else b, cfg).detach() for b in batches]


def changes(method, cfg, world, ref, twins, make=None):
    """The largest difference of the two losses over the pairs."""
    one, two = losses(method, cfg, world, ref, twins, make)
    return (one - two).abs().max().item()


@pytest.mark.parametrize(
    "method, cfg",
    [
        (dpo, dpo.Config(beta=0.3)),
        (ipo, ipo.Config(tau=0.3)),
        (hinge, hinge.Config(beta=0.3)),
    ],
    ids=["dpo", "ipo", "hinge"],
)
def test_losses_of_the_margin_do_not_see_the_mass_of_a_component(
    world, ref, twins, method, cfg
):
    assert changes(method, cfg, world, ref, twins) < 1e-12


def test_a_mean_over_tokens_sees_it_where_lengths_differ(world, ref, twins):
    """(0, 1, 0): two tokens against one, so a constant does not cancel."""
    pairs = twins[0]
    uneven = pairs.chosen.lengths != pairs.rejected.lengths
    assert uneven.tolist() == [False, False, True, False, False, False]
    one, two = losses(ipo, ipo.Config(reduce="mean"), world, ref, twins)
    moved = (one - two).abs() > 1e-12
    assert torch.equal(moved, uneven)


def thumbs(batch):
    """Both responses of each pair as thumbs, with a reference point of 0.2 nats."""
    sides = batch.chosen, batch.rejected
    table = {k: torch.cat([getattr(s, k) for s in sides]) for k in
             ("policy", "ref", "mask")}  # fmt: skip
    n = len(batch.policy_chosen)
    up = torch.arange(2 * n) < n
    point = torch.full((2 * n,), 0.2, dtype=torch.float64)
    return ThumbLogps(**table, up=up, reference_point=point, reference_mean=point)


def lists(batch):
    """Each pair as a list of two, the chosen one with the higher score."""
    sides = batch.chosen, batch.rejected
    table = {k: torch.stack([getattr(s, k) for s in sides], 1) for k in
             ("policy", "ref", "mask")}  # fmt: skip
    scores = torch.tensor([2.0, 0.5], dtype=torch.float64)
    scores = scores.expand(len(table["policy"]), 2)
    return ListLogps(**table, scores=scores, proposal=torch.zeros_like(scores))


OTHERS = {
    "rpo": None, "dpop": None, "chipo": None, "kto": thumbs, "bco": thumbs,
    "nca": lists,
}  # fmt: skip


@pytest.mark.parametrize("key", OTHERS)
def test_losses_with_an_anchor_or_a_bent_score_see_it(world, ref, twins, key):
    method = methods()[key]
    assert changes(method, method.Config(), world, ref, twins, OTHERS[key]) > 1e-4


def test_the_anchor_of_rpo_counts_the_mass_that_went(world, ref, twins):
    """βη times the fall of log π(y_c), log 100; the fourth prompt has no pair."""
    rpo = methods()["rpo"]
    cfg = rpo.Config(beta=0.5, eta=0.2)
    one, two = losses(rpo, cfg, world, ref, twins)
    inside = torch.tensor([True, True, False, True, False, True])
    assert (two - one)[inside].tolist() == pytest.approx([0.1 * math.log(100)] * 4)


def test_dpop_sees_it_only_where_its_penalty_is_active(world, ref, twins):
    """The penalty is max(0, −d(y_c)): the reference itself pays none."""
    dpop = methods()["dpop"]
    one, two = losses(dpop, dpop.Config(), world, ref, twins)
    pairs, before, after = twins
    at = pairs.chosen.prompt, pairs.chosen.response
    gaps = [p.response_logps()[at] - ref[at] for p in (before, after)]
    active = (gaps[0] < 0) | (gaps[1] < 0)
    moved = (one - two).abs() > 1e-12
    assert torch.equal(moved, active)
