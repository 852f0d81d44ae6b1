"""The bandit of the CoPG paper: where each loss ends, by solving for its fixed point.

Three arms with rewards 2.5, 2 and 1; pairs of draws from μ₁ and μ₂, which love the
worst arm; a uniform reference; β = 1/2. Nothing is trained, so nothing depends on an
optimiser: the population gradient of the library's losses is driven to zero. The line
with the baseline E_π[R_β] is ours: the paper's value baseline leaves the KL out.
"""

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64
from tests.methods.listwise import as_pairs, single_tokens
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.methods.direct.links import ipo
from workbench.methods.direct.lists import copg, rebel
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.worlds.solutions import expectation, kl, optimal_policy

BETA = 0.5
REWARD = torch.tensor([2.5, 2.0, 1.0], dtype=F64)
MU = torch.tensor([[0.1, 0.2, 0.7], [0.05, 0.05, 0.9]], dtype=F64)
REF = torch.full((3,), 1 / 3, dtype=F64).log()
HALVES = MU.mean(0)
PAIRS = torch.cartesian_prod(torch.arange(3), torch.arange(3))
DRAWN = MU[0][PAIRS[:, 0]] * MU[1][PAIRS[:, 1]]  # how often each ordered pair is seen
BEST = optimal_policy(REF, REWARD, BETA)


def objective(policy):
    """J = E_π[R] − β KL(π‖π_ref)."""
    return expectation(policy, REWARD) - BETA * kl(policy, REF)


def regret(policy):
    return (objective(BEST) - objective(policy)).item()


def pairs(logits):
    """All ordered pairs of arms as lists of two."""
    ratio = logits.log_softmax(-1) - REF
    return single_tokens(ratio[PAIRS], REWARD[PAIRS], ref=REF[0].item())


def copg_risk(logits):
    return DRAWN @ copg.loss(pairs(logits), copg.Config(beta=BETA))


def rebel_risk(logits):
    return DRAWN @ rebel.loss(pairs(logits), rebel.Config(eta=1 / BETA))


def ipo_risk(logits):
    """Labels of a Bradley–Terry annotator: the first arm wins with σ(R − R′)."""
    batch, cfg = pairs(logits), ipo.Config(tau=BETA)
    wins = (batch.scores[:, 0] - batch.scores[:, 1]).sigmoid()
    first = ipo.loss(as_pairs(batch, 0, 1), cfg)
    return DRAWN @ (wins * first + (1 - wins) * ipo.loss(as_pairs(batch, 1, 0), cfg))


def policy_gradient(baseline, drawn=HALVES):
    """REINFORCE, arms drawn from any distribution: A = R_β − b, no importance weights.

    Args:
        baseline: b is 0 ("none"), E_π[R] ("reward") or E_π[R_β] ("value").
        drawn: how often each arm is drawn; half from μ₁ and half from μ₂.
    """

    def risk(logits):
        policy = logits.log_softmax(-1)
        log_probs = policy.detach()
        value = REWARD - BETA * (log_probs - REF)
        levels = {"none": 0.0, "reward": REWARD, "value": value}
        advantage = value - (log_probs.exp() * levels[baseline]).sum()
        mask = torch.ones(3, 1, dtype=torch.bool)
        batch = Rollouts(
            policy[:, None], log_probs[:, None], REF[:, None], mask, REWARD, 1,
            advantages=advantage[:, None],
        )  # fmt: skip
        return drawn @ rloo.loss(batch, rloo.Config(beta=BETA))

    return risk


def slope(risk, logits):
    """The population gradient; advantages and weights count as constants in it."""
    leaf = logits.detach().requires_grad_()
    return torch.autograd.grad(risk(leaf), leaf)[0]


def solve(risk, start=REF, tolerance=1e-13):
    """Newton's method on the population gradient, its Jacobian by central differences.

    A step that does not shrink the gradient is halved; logits keep their mean free.
    """
    logits, field = start, slope(risk, start)
    for _ in range(100):
        if field.abs().max() < tolerance:
            break
        moves = 1e-5 * torch.eye(3, dtype=F64)
        bend = [slope(risk, logits + e) - slope(risk, logits - e) for e in moves]
        jacobian = torch.stack(bend, -1) / 2e-5 + 1 / 3
        step = torch.linalg.solve(jacobian, field)
        while slope(risk, logits - step).norm() >= field.norm() and step.norm() > 1e-9:
            step = step / 2
        logits = (logits - step).log_softmax(-1)
        field = slope(risk, logits)
    assert field.abs().max() < 1e-10
    return logits


def test_the_optimum_and_the_start():
    assert_close(BEST.exp().tolist(), [0.7054, 0.2595, 0.0351], atol=5e-5, rtol=0)
    assert objective(BEST).item() == pytest.approx(2.1252, abs=5e-5)
    assert regret(REF) == pytest.approx(0.2919, abs=5e-5)


LINES = [
    (copg_risk, (0.7054, 0.2595, 0.0351), 0.0),
    (rebel_risk, (0.7054, 0.2595, 0.0351), 0.0),
    (ipo_risk, (0.4242, 0.3527, 0.2231), 0.1525),
    (policy_gradient("none"), (0.1940, 0.2501, 0.5559), 0.6378),
    (policy_gradient("reward"), (0.8115, 0.1675, 0.0209), 0.0148),
    (policy_gradient("value"), (0.7054, 0.2595, 0.0351), 0.0),
]


@pytest.mark.parametrize(("risk", "policy", "lost"), LINES)
@pytest.mark.parametrize("start", [REF, (0.3 * REF + MU[0].log()).log_softmax(-1)])
def test_where_it_ends(risk, policy, lost, start):
    found = solve(risk, start)
    assert_close(found.exp().tolist(), list(policy), atol=5e-5, rtol=0)
    assert regret(found) == pytest.approx(lost, abs=5e-5)


@pytest.mark.parametrize("risk", [copg_risk, rebel_risk, policy_gradient("value")])
def test_what_ends_at_the_optimum_ends_there_exactly(risk):
    assert slope(risk, BEST).abs().max() < 1e-14
    assert abs(regret(solve(risk))) < 1e-14


def test_without_a_baseline_it_ends_worse_than_it_began():
    assert regret(solve(policy_gradient("none"))) > 2 * regret(REF)


@pytest.mark.parametrize("baseline", ["none", "reward", "value"])
def test_on_policy_any_baseline_is_harmless(baseline):
    """With arms drawn from π itself the expected gradient is −∇J; from μ it is not."""
    leaf = MU[0].log().requires_grad_()
    (exact,) = torch.autograd.grad(objective(leaf.log_softmax(-1)), leaf)
    assert_close(slope(policy_gradient(baseline, drawn=MU[0]), leaf), -exact)
    assert (slope(policy_gradient(baseline), leaf) + exact).norm() > 0.05
