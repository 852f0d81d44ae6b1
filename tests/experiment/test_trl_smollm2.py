"""The same comparison with TRL on a language model: SmolLM2, full-batch steps.

Few steps of short pairs, so that CI can pay for them; ``benchmarks/smollm2.py`` takes
20 steps of the same comparison.
"""

from tests.experiment.trl_runs import Case, check_peft_reads, check_same
from workbench.models.lora import Shape

FULL, LORA = 2, 3
PAIRS = (
    ("Name a colour.", "Green, like grass.", "I cannot say that"),
    ("Is 7 x 8 = 56?", "Yes: 56.", "No, it is 12  54."),
    ("Say hello in French.", "Bonjour !", "Hello, hello, hello."),
)


def conversation() -> list[dict]:
    """With a short system message of its own: the template's is long."""
    system = {"role": "system", "content": "Be short."}
    return [
        {
            "prompt": [system, {"role": "user", "content": asked}],
            "chosen": [{"role": "assistant", "content": good}],
            "rejected": [{"role": "assistant", "content": bad}],
        }
        for asked, good, bad in PAIRS
    ]


def test_dpo_with_all_weights_is_trls(smollm2, tmp_path):
    mine = check_same(Case(smollm2, conversation(), tmp_path, steps=FULL, lr=1e-5))
    assert mine.steps[-1]["loss"] < mine.steps[0]["loss"] - 0.05


def test_dpo_with_lora_is_trls_and_its_adapter_is_pefts(smollm2, tmp_path):
    shape = Shape(r=4, alpha=8)
    case = Case(smollm2, conversation(), tmp_path, steps=LORA, lr=1e-3, shape=shape)
    mine = check_same(case)
    assert mine.steps[-1]["loss"] < mine.steps[0]["loss"] - 0.05
    check_peft_reads(mine, case)
