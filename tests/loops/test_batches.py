"""Micro-batches: the gradients of a batch's parts add up to the whole batch's."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from workbench.catalogue import methods
from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.experiment import problem
from workbench.feedback.kind import why_whole
from workbench.feedback.kinds.lists import Lists, MixedLists
from workbench.loops import offline, online
from workbench.loops.batches import Batches
from workbench.loops.descent import Descent, Part
from workbench.loops.schedule import Schedule
from workbench.loops.session import Session
from workbench.methods.direct.links import dpo
from workbench.methods.direct.unpaired import kto

METHODS = methods()
# those that read a data set; the others write their own responses
FIXED = {k: m for k, m in METHODS.items() if m.card.loop and not m.card.loop.ASKS}
REVIEWS = problem.of_reviews((0,), max_words=2, n_pairs=24, users=3)
UNEVEN = 4  # leaves a smaller part of 2


def gradient(method, where=REVIEWS, **settings):
    """The gradient of the first step, of all weights in one row; float32."""
    if "prepare" in method.card.hooks:  # its policy is made once for a problem
        where = replace(where)
    plan = {"steps": 1, "batch_size": 6, "seed": 3} | settings
    run = method.card.loop.drive(where, method, method.Config(), plan)
    found = [p.grad for p in run.policy.parameters() if p.grad is not None]
    assert {g.dtype for g in found} == {torch.float32}
    return torch.cat([g.flatten() for g in found])


def gap(one, other):
    return float((one - other).abs().max() / one.abs().max())


def test_most_methods_are_here():
    assert len(FIXED) > 60 and {"dpo", "kto", "bco", "lipo", "bt", "sft"} <= set(FIXED)


@pytest.mark.parametrize("key", sorted(FIXED))
def test_every_split_has_the_gradient_of_the_whole_batch(key):
    """For every method that reads a data set; or the method is refused, with why."""
    method = FIXED[key]
    if "prepare" not in method.card.hooks and why_whole(REVIEWS.data(method)):
        with pytest.raises(BadCall, match=f"{key} takes no micro-batches: .* batch"):
            gradient(method, micro_batch=4)
        return
    whole = gradient(method)
    assert whole.abs().max() > 0
    assert gap(whole, gradient(method, micro_batch=UNEVEN)) <= 1e-6


@pytest.mark.parametrize("key", ["dpo", "kto", "lipo", "tdpo1", "bt"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_so_have_all_other_splits(key, size):
    assert gap(gradient(FIXED[key]), gradient(FIXED[key], micro_batch=size)) <= 1e-6


def test_only_these_are_refused():
    """A refusal of everything would pass the test above."""
    plain = {k: m for k, m in FIXED.items() if "prepare" not in m.card.hooks}
    assert [k for k, m in plain.items() if why_whole(REVIEWS.data(m))] == ["vpl"]


def test_a_stack_splits_the_rows_of_each_member():
    pair = replace(REVIEWS, seeds=(0, 1), users=0)
    whole = gradient(kto, replace(pair))
    assert gap(whole, gradient(kto, replace(pair), micro_batch=4)) <= 1e-6


def test_lists_of_several_lengths_are_split_within_a_length():
    world, policy = REVIEWS.world, REVIEWS.reference
    prompt = torch.arange(12) % world.n_prompts
    tokens = policy.sample(world, prompt.repeat_interleave(3), generator(0, "lists"))
    scores = torch.randn(12, 3, generator=generator(0, "scores"))
    rest = torch.zeros(12, 3), torch.ones(12)
    longer = Lists(tokens, scores, *rest)
    short = Lists(tokens[torch.arange(36) % 3 < 2], scores[:, :2], rest[0][:, :2],
                  rest[1])  # fmt: skip
    place = torch.tensor([[row % 2, row // 2] for row in range(24)])
    mixed = MixedLists((longer, short), place)
    whole, *parts = (
        torch.cat([p.grad.flatten() for p in offline.fit(
            policy.copies(1), policy, mixed, METHODS["lipo"],
            METHODS["lipo"].Config(), steps=1, batch_size=7, micro_batch=size,
        ).policy.parameters() if p.grad is not None])
        for size in (None, 1, 3)
    )  # fmt: skip
    assert all(gap(whole, part) <= 1e-6 for part in parts)


def test_a_mean_of_means_is_another_gradient(monkeypatch):
    """Known mistake: every part counts alike, the small last one as well."""
    whole = gradient(dpo)
    add = Descent._add

    def alike(self, part, total, step):
        share = 2 * len(part.losses)  # two parts of 4 and 2
        return add(self, part, share, step)

    monkeypatch.setattr(Descent, "_add", alike)
    assert gap(whole, gradient(dpo, micro_batch=4)) > 1e-3


def test_a_reference_point_of_a_part_is_another_gradient(monkeypatch):
    """Known mistake: KTO's z₀ of the part instead of the batch's."""
    moved = REVIEWS.reference.copies(1)  # at π = π_ref z₀ is 0
    with torch.no_grad():
        for weights in moved.parameters():
            weights.add_(0.1 * torch.randn(weights.shape, generator=generator(1, "x")))
    data, cfg = REVIEWS.data(kto), kto.Config(beta=1.0)

    def one(size):
        moved.requires_grad_(True)
        plan = Schedule(steps=1, batch_size=6, micro_batch=size, lr=1e-12)
        session = Session(moved, plan)
        ref = data.reference_logps(REVIEWS.reference)
        Batches(moved, data, ref, kto, cfg, plan).learn(session, 0)
        return torch.cat([p.grad.flatten() for p in moved.parameters()])

    whole = one(None)
    assert gap(whole, one(4)) <= 1e-6
    monkeypatch.setattr(Batches, "_means", lambda *ignored: {})
    assert gap(whole, one(4)) > 1e-3


def test_weights_and_losses_are_those_of_the_batch():
    """(1·1 + 2·3 + 0·5) / 3 = 7/3, in parts of 2 and 1."""
    weights = torch.nn.Parameter(torch.ones(3))
    values, counts = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([1.0, 2.0, 0.0])
    descent = Descent([weights], Schedule(steps=1, lr=0.1), 1)
    parts = [
        Part((weights * values)[at], counts[at], at)
        for at in (torch.tensor([0, 1]), torch.tensor([2]))
    ]
    assert descent.learn(parts, 3, 0).item() == pytest.approx(7 / 3)
    assert weights.grad.tolist() == pytest.approx([1 / 3, 2, 0])


def test_a_loss_that_is_not_finite_is_named_by_its_place_in_the_batch():
    def broken(batch: dpo.PairLogps, cfg):
        losses = batch.margin()
        return torch.where(torch.arange(len(losses)) == 1, torch.nan, losses)

    method = type("Broken", (), {"card": dpo.card, "loss": staticmethod(broken)})()
    method.loss = broken
    policy = REVIEWS.start()
    with pytest.raises(ArithmeticError, match="step 0: 1 losses .*row 1: nan"):
        offline.fit(policy, REVIEWS.reference, REVIEWS.data(dpo), method, None,
                    steps=1, batch_size=6, micro_batch=4)  # fmt: skip


def test_a_loop_that_makes_its_own_batch_refuses_parts():
    rloo = METHODS["rloo"]
    plan = {"steps": 1, "batch_size": 4, "micro_batch": 2}
    with pytest.raises(BadCall, match="takes no micro_batch"):
        online.drive(REVIEWS, rloo, rloo.Config(), plan)


def test_a_run_in_parts_goes_on_as_if_it_had_not_stopped(tmp_path):
    """With a warm-up and cut gradients, whose scale is a function of the step."""
    plan = {"steps": 6, "batch_size": 6, "micro_batch": 4, "warmup": 5, "clip": 0.01,
            "every": 2}  # fmt: skip

    def fit(out, stop=None, resume=False):
        def measure(policy):
            if seen.append(0) or len(seen) == stop:
                raise InterruptedError
            return pd.DataFrame({"seed": [0]})

        seen: list[int] = []
        plan_here = plan | {"out": out, "resume": resume, "measures": [measure]}
        run = offline.fit(REVIEWS.start(), REVIEWS.reference, REVIEWS.data(dpo), dpo,
                          dpo.Config(), **plan_here)  # fmt: skip
        return run.policy.state_dict(), (out / "metrics.csv").read_text()

    weights, metrics = fit(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        fit(tmp_path / "halves", stop=3)
    assert (tmp_path / "halves" / "state" / "latest").read_text() == "step-2"
    again, metrics_again = fit(tmp_path / "halves", resume=True)
    assert metrics == metrics_again
    assert all(torch.equal(weights[name], again[name]) for name in weights)
