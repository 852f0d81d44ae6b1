"""What an audit says of pairs: by hand, and against a policy that is known."""

import math

import pandas as pd
import pytest
import torch

from tests.models import families
from workbench.feedback.records import PreferenceRecord
from workbench.measure import pair_audit
from workbench.models import checkpoint, encoding


def frame(chosen, rejected, lengths=None):
    made = pd.DataFrame({"chosen": chosen, "rejected": rejected})
    made["margin"] = made["chosen"] - made["rejected"]
    sizes = lengths or [(10, 10)] * len(made)
    made["chosen_tokens"], made["rejected_tokens"] = zip(*sizes, strict=True)
    return made


def told(table) -> dict:
    return {row.measure: row for row in table.itertuples()}


def test_accuracy_counts_a_tie_as_a_half_and_prompts_once():
    """Margins 1, 0, −1, 2: (1 + ½ + 0 + 1)/4 = 0.625, of two prompts.

    Their sums about the mean are 0.25 and −0.25 (first two and last two pairs), so the
    standard error is √(0.125 · 2)/4 = 0.125 and the half width 12.706 · 0.125.
    """
    made = frame([1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, 0.0])
    row = told(pair_audit.summary(made, [0, 0, 1, 1], 0.1))["accuracy"]
    assert (row.value, row.n) == (0.625, 4)
    assert row.high - row.value == pytest.approx(12.706 * 0.125, abs=1e-3)


def test_lengths_are_matched_within_a_tenth():
    sizes = [(10, 10), (19, 20), (30, 20), (10, 20)]
    made = frame([1.0, 1.0, -1.0, 1.0], [0.0] * 4, sizes)
    rows = told(pair_audit.summary(made, range(4), 0.1))
    equal, longer, shorter = (
        rows[f"accuracy, {name}"]
        for name in ("equal lengths", "chosen longer", "chosen shorter")
    )
    assert (equal.n, equal.value) == (2, 1.0)
    assert (longer.n, longer.value, shorter.value) == (1, 0.0, 1.0)


def test_a_margin_that_is_length_has_rank_correlation_one():
    sizes = [(5, 5), (7, 5), (12, 5), (20, 5)]
    made = frame([0.0, 1.0, 4.0, 9.0], [0.0] * 4, sizes)
    name = "rank correlation of margin and length difference"
    assert told(pair_audit.summary(made, range(4), 0.1))[name].value == pytest.approx(1)
    same = frame([0.0, 1.0], [0.0, 0.0])
    assert math.isnan(told(pair_audit.summary(same, range(2), 0.1))[name].value)


def test_a_fall_of_both_sides_is_a_share():
    made = frame([-1.0, -1.0, 1.0, -2.0], [-2.0, 1.0, -1.0, -1.0])
    rows = told(pair_audit.summary(made, range(4), 0.1))
    assert (rows["chosen fell"].value, rows["both fell"].value) == (0.75, 0.5)


@pytest.mark.parametrize("beta", [0.02, 0.5, 7.0])
def test_the_implied_beta_is_the_one_of_the_labels(beta):
    """A gap g that wins with σ(βg): of each size as many pairs as that says.

    Σ log σ(b·g) over wins and losses has its maximum where σ(b·g) is the share of wins.
    """
    size = math.log(3) / beta  # σ(β · size) = ¾
    gap = torch.tensor([size, size, size, -size], dtype=torch.float64)
    assert pair_audit.implied_beta(gap) == pytest.approx(beta, rel=1e-9)


def test_an_implied_beta_may_have_no_value():
    assert pair_audit.implied_beta(torch.tensor([1.0, 2.0])) == math.inf
    assert pair_audit.implied_beta(torch.tensor([-1.0, -2.0])) == -math.inf
    assert math.isnan(pair_audit.implied_beta(torch.zeros(3)))


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """Two checkpoints of one family with other weights, and three pairs."""
    root = tmp_path_factory.mktemp("audit")
    one, coder = checkpoint.load(families.save("inst", root / "one"))
    other, _ = checkpoint.load(families.save("inst", root / "other"))
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in other.parameters():
            weights += 0.02 * torch.randn_like(weights)
    records = [PreferenceRecord(f"{i}", "green cup" * i, "tea") for i in (1, 2, 3)]
    return one, other, encoding.encode_pairs(coder, records).pairs


def test_rewards_are_beta_times_the_log_ratio_of_whole_responses(audited):
    """Against transformers' own logits, summed by hand for the first pair."""
    reference, policy, pairs = audited
    made = pair_audit.rewards(policy, reference, pairs, beta=0.5)
    ids, mask = pairs.chosen.ids[:1], pairs.chosen.mask[0]
    ratio = 0.0
    for sign, model in ((1, policy), (-1, reference)):
        logits = model.network.model(input_ids=ids).logits.log_softmax(-1)
        for at in mask.nonzero().flatten().tolist():
            ratio += sign * logits[0, at - 1, ids[0, at]].item()
    assert made["chosen"][0] == pytest.approx(0.5 * ratio, abs=1e-5)
    assert made["chosen_tokens"].tolist() == pairs.chosen.mask.sum(-1).tolist()


def test_a_policy_audited_against_itself_has_no_rewards(audited):
    reference, _, pairs = audited
    made = pair_audit.rewards(reference, reference, pairs, beta=0.5)
    assert made[["chosen", "rejected", "margin"]].abs().to_numpy().max() == 0


def test_token_rewards_add_up_to_the_rewards(audited):
    reference, policy, pairs = audited
    made = pair_audit.rewards(policy, reference, pairs, beta=0.5)
    found = pair_audit.token_rewards(
        policy, reference, pairs, torch.tensor([2, 0]), beta=0.5
    )
    for row, sides in zip((2, 0), found, strict=True):
        for name, (ids, values) in zip(("chosen", "rejected"), sides, strict=True):
            assert len(ids) == len(values) == made[f"{name}_tokens"][row]
            assert sum(values) == pytest.approx(made[name][row], abs=1e-5)


def test_a_gap_is_a_difference_of_means_with_welchs_interval():
    """By hand, every pair a prompt of its own.

    Training margins 1, 2, 3 (mean 2) and held-out 0, 2 (mean 1). Clustered standard
    errors are √(Σ(x − x̄)² · G/(G − 1))/n: √(2 · 3/2)/3 = 0.57735 and √(2 · 2)/2 = 1.
    Welch's degrees: (1/3 + 1)² / ((1/3)²/2 + 1²/1) = 1.68, so one degree: t = 12.706.
    """
    one = frame([1.0, 2.0, 3.0], [0.0] * 3)
    two = frame([0.0, 2.0], [0.0] * 2)
    rows = told(pair_audit.gap(one, [0, 1, 2], two, [0, 1]))
    margin, accuracy = rows["margin"], rows["accuracy"]
    assert (margin.training, margin.held_out, margin.gap) == (2.0, 1.0, 1.0)
    assert margin.high - margin.gap == pytest.approx(12.7062 * (4 / 3) ** 0.5, rel=1e-4)
    assert margin.gap - margin.low == pytest.approx(margin.high - margin.gap)
    assert (accuracy.training, accuracy.held_out) == (1.0, 0.75)


def test_a_gap_of_one_prompt_has_no_interval():
    one = frame([1.0, 2.0], [0.0] * 2)
    row = told(pair_audit.gap(one, [0, 1], one, [0, 0]))["margin"]
    assert row.gap == 0 and math.isnan(row.low) and math.isnan(row.high)
