"""What the columns of ``metrics.csv`` are called by trainers of the field.

TRL's names: a mean over training pairs is ``rewards/chosen``, one over pairs that are
held out ``eval_rewards/chosen``.
"""

HELD_OUT = {
    "chosen": "eval_rewards/chosen",
    "rejected": "eval_rewards/rejected",
    "margin": "eval_rewards/margins",
    "accuracy": "eval_rewards/accuracies",
}
TRAINING = {
    "train_margin": "rewards/margins",
    "train_accuracy": "rewards/accuracies",
}
NAMES = HELD_OUT | TRAINING


def of(column: str) -> str:
    """The field's name of a column, or its own where the field has none."""
    return NAMES.get(column, column)
