"""Gold against √KL: the hump, and where theory puts it."""

import math

import pytest
import torch

from workbench.measure import overoptimisation as over
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews


def values(ref, proxy, gold, eta):
    best = solutions.optimal_policy(ref, proxy, 1 / eta)
    return torch.stack([solutions.expectation(best, gold), solutions.kl(best, ref)])


@pytest.mark.parametrize("eta", [0.2, 1.0, 3.0])
def test_the_slope_of_gold_is_the_covariance_and_that_of_kl_eta_times_the_variance(
    ref, proxy, gold, eta
):
    step = 1e-5
    slope = values(ref, proxy, gold, eta + step) - values(ref, proxy, gold, eta - step)
    slope = slope / (2 * step)
    best = solutions.optimal_policy(ref, proxy, 1 / eta)
    torch.testing.assert_close(
        slope[0], solutions.covariance(best, gold, proxy), rtol=1e-6, atol=1e-8
    )
    torch.testing.assert_close(
        slope[1], eta * solutions.covariance(best, proxy, proxy), rtol=1e-6, atol=1e-8
    )


def test_gold_peaks_where_the_covariance_crosses_zero(ref, proxy, gold):
    beta = over.peak_beta(ref, proxy, gold)
    best = solutions.optimal_policy(ref, proxy, beta)
    assert abs(solutions.covariance(best, gold, proxy).mean()) < 1e-10
    path = over.tilt_curve(ref, proxy, gold, [1.02 * beta, beta, beta / 1.02])
    assert path.gold[1] > path.gold[0] and path.gold[1] > path.gold[2]
    assert path.proxy.is_monotonic_increasing
    # and no other point of a fine grid is higher
    grid = over.tilt_curve(
        ref, proxy, gold, (100 * 1e-4 ** torch.linspace(0, 1, 300)).tolist()
    )
    assert grid.gold.max() <= path.gold[1] + 1e-9


def test_on_golds_own_path_there_is_no_hump(ref, gold):
    assert over.peak_beta(ref, gold, gold) is None
    assert over.peak_beta(ref, 2 * gold + 1, gold) is None
    path = over.paths(ref, gold, gold)
    for _, curve in path.groupby("curve"):
        assert (curve.gold.diff().dropna() > -1e-12).all()
        assert curve.gold.tolist() == pytest.approx(curve.proxy.tolist(), abs=1e-12)
        for law in ("bon", "rl"):
            start = curve.gold.iloc[0]
            assert not over.fit(curve.sqrt_kl, curve.gold, law, start=start).hump


def test_on_the_bad_proxys_path_the_laws_see_the_hump(ref, proxy, gold):
    start = solutions.expectation(ref, gold).mean().item()
    path = over.paths(ref, proxy, gold)
    curve = path[path.curve == "optimum"]
    assert (curve.proxy.diff().dropna() > -1e-12).all()
    assert curve.gold.max() > curve.gold.iloc[-1] + 0.1
    found = over.fit(curve.sqrt_kl, curve.gold, "bon", start=start)
    assert found.hump


def test_best_of_one_is_the_reference_and_the_bound_holds(ref, proxy, gold):
    ns = [1, 2, 4, 16, 64, 1000]
    curve = over.best_of_n_curve(ref, proxy, gold, ns)
    assert curve.n.tolist() == ns
    assert abs(curve.kl[0]) < 1e-12
    start = solutions.expectation(ref, gold).mean().item()
    assert curve.gold[0] == pytest.approx(start)
    assert (curve.kl <= curve.bound + 1e-12).all()
    assert (curve[["kl", "proxy"]].diff().dropna() > -1e-12).all().all()
    assert curve.bound[1] == pytest.approx(math.log(2) - 0.5)


def test_best_of_two_by_hand():
    # masses ½ ¼ ¼ with proxies 0 1 2: F = ½ ¾ 1, squares ¼ 9/16 1
    ref = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64).log()
    proxy = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    gold = torch.tensor([[0.0, 1.0, -1.0]], dtype=torch.float64)
    row = over.best_of_n_curve(ref, proxy, gold, [2]).iloc[0]
    chances = [4 / 16, 5 / 16, 7 / 16]
    assert row.proxy == pytest.approx(chances[1] + 2 * chances[2])
    assert row.gold == pytest.approx(chances[1] - chances[2])
    hand = sum(
        p * math.log(p / q) for p, q in zip(chances, [0.5, 0.25, 0.25], strict=True)
    )
    assert row.kl == pytest.approx(hand)


def test_paths_take_runs_beside_the_exact_curves(ref, proxy, gold):
    run = over.tilt_curve(ref, proxy, gold, [1.0, 0.5])
    path = over.paths(ref, proxy, gold, ns=[1, 2], betas=[1.0], runs={"rloo": run})
    assert list(path.columns) == ["curve", "kl", "sqrt_kl", "gold", "proxy"]
    assert path.curve.tolist() == ["best of n"] * 2 + ["optimum"] + ["rloo"] * 2
    assert (path.sqrt_kl**2).tolist() == pytest.approx(path.kl.tolist(), abs=1e-12)


def test_jointly_gaussian_errors_lose_slope_and_never_turn_over():
    # a fine grid of gold g and proxy g + e, both N(0, 1): E[gold] = η, E[proxy] = 2η
    line = torch.linspace(-9, 9, 241, dtype=torch.float64)
    g, e = torch.meshgrid(line, line, indexing="ij")
    ref = (-(g**2 + e**2) / 2).reshape(1, -1).log_softmax(-1)
    gold, proxy = g.reshape(1, -1), (g + e).reshape(1, -1)
    path = over.tilt_curve(ref, proxy, gold, [2.0, 1.0, 0.5])
    # KL = η² Var(proxy)/2 = η², so gold = √KL = ρ √(2 KL) with ρ = 1/√2
    assert path.gold.tolist() == pytest.approx([0.5, 1, 2], rel=1e-6)
    assert (path.kl**0.5).tolist() == pytest.approx([0.5, 1, 2], rel=1e-6)
    assert over.peak_beta(ref, proxy, gold, low=0.3) is None


def test_responses_at_several_places_are_the_exact_optima():
    world = Reviews(2)
    table = torch.arange(world.gold.numel()).reshape(world.gold.shape) / 100
    frame = over.responses_at(world, world.author, table, {"light": 5.0, "hard": 0.05})
    assert len(frame) == 2 * world.gold.numel()
    share = frame.groupby(["place", "prompt"]).probability.sum()
    assert share.tolist() == pytest.approx([1.0] * 2 * world.n_prompts)
    first = frame[(frame.place == "hard") & (frame.prompt == "plot")].iloc[0]
    best = solutions.optimal_policy(world.author, table.double(), 0.05)[1].exp()
    at = int(best.argmax())
    assert first["name"] == world.text(at)
    assert first["probability"] == pytest.approx(best[at].item())
    assert first["gold"] == pytest.approx(world.gold[1, at].item())
    assert first["proxy"] == pytest.approx(table[1, at].item())


def test_along_a_path_values_are_read_at_a_given_kl(ref, proxy, gold):
    """At the KL of π*_β they are the means under it, at 0 those of the reference."""
    best = solutions.optimal_policy(ref, proxy, 0.9)
    at = solutions.kl(best, ref).mean().item()
    length = torch.arange(gold.numel()).reshape(gold.shape).double()
    found = over.at_kl(ref, proxy, {"gold": gold, "length": length}, [0.0, at])
    for name, table in {"gold": gold, "length": length}.items():
        ends = [solutions.expectation(p, table).mean().item() for p in (ref, best)]
        assert found[name].tolist() == pytest.approx(ends, rel=0.01, abs=0.01)
    with pytest.raises(ValueError, match="the path ends at"):
        over.at_kl(ref, proxy, {"gold": gold}, [50.0])
