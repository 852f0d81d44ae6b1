"""Whole runs of DPO against TRL's own trainer, from the same checkpoint and rows.

Log-probs of every response, then losses and rewards of 20 full-batch steps of Adam,
with all weights and with LoRA, on three families of checkpoints made here.
"""

import pytest

from tests.experiment.trl_runs import Case, check_peft_reads, check_same
from tests.models import families
from workbench.models.lora import Shape

THINGS = ("cup", "coat", "door", "hat", "boat", "book")
LORA = Shape(r=2, alpha=8, targets=("all-linear",))


def rows(form: str) -> list[dict]:
    """Pairs about a few things, as conversations or as plain text."""
    made = []
    for i, thing in enumerate(THINGS):
        fields = {
            "prompt": f"Name a colour for the {thing}.",
            "chosen": f"The {thing} is green" + ", please" * (i % 3) + ".",
            "rejected": f"I have nothing on the {thing}",
        }
        if form == "text":
            # TRL glues a prompt and its answers; a line end keeps their tokens apart
            made.append(fields | {"prompt": fields["prompt"] + "\n"})
        else:
            roles = {"prompt": "user"}
            made.append(
                {
                    k: [{"role": roles.get(k, "assistant"), "content": v}]
                    for k, v in fields.items()
                }
            )
    return made


@pytest.mark.parametrize("form", ["conversation", "text"])
@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_run_of_dpo_is_trls(family, form, tmp_path):
    folder = families.save(family, tmp_path / "model")
    mine = check_same(Case(folder, rows(form), tmp_path))
    assert mine.steps[-1]["loss"] < 0.5  # it learned: the comparison is not of zeros


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_run_of_dpo_with_lora_is_trls_and_its_adapter_is_pefts(family, tmp_path):
    folder = families.save(family, tmp_path / "model")
    case = Case(folder, rows("conversation"), tmp_path, lr=1e-2, shape=LORA)
    mine = check_same(case)
    assert mine.steps[-1]["loss"] < 0.5
    check_peft_reads(mine, case)
