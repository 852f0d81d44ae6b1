"""The figures of a training command; each caption can be checked against the data."""

import torch

from workbench.core.outputs import Outputs
from workbench.experiment import report_page
from workbench.experiment.task import Task
from workbench.measure import calibration


def of_policy(task: Task, frame) -> dict:
    """Implicit rewards of held-out pairs and drift, by name.

    Args:
        task: what was trained.
        frame: metrics of all seeds.
    """
    from workbench import views

    last = frame[frame["step"] == frame["step"].max()].mean(numeric_only=True)
    first = frame[frame["step"] == frame["step"].min()].mean(numeric_only=True)
    over = f"mean over {frame['seed'].nunique()} seed(s)"
    moved = "falls" if last["chosen"] < first["chosen"] else "does not fall"
    rewards = (
        f"Held-out pairs, {task.method.card.key}: the chosen implicit reward {moved} "
        f"and ends at {last['chosen']:.3f}, the rejected at {last['rejected']:.3f}, "
        f"and {last['accuracy']:.0%} of the pairs are ordered rightly ({over})."
    )
    drifted = f"The policy ends {last['kl']:.3f} nats from the reference ({over})"
    if task.problem.is_exact:
        drifted += ", summed over all responses."
        label = "policy, over all responses"
    else:
        n = task.problem.samples
        label = "policy, estimated from samples"
        drifted += f", estimated from {n} samples per measure"
        if last["kl_stderr"] == last["kl_stderr"]:  # one prompt alone has none
            drifted += f" with a standard error of {last['kl_stderr']:.3f} nats"
        drifted += _at_least(last.get("cut", 0.0), task.problem.max_new)
    return {
        "implicit_rewards": views.implicit_rewards(frame, caption=rewards),
        "kl_drift": views.kl_drift(frame, caption=drifted, label=label),
    }


def _at_least(cut: float, max_new: int) -> str:
    """The end of a sentence on a KL of samples: some of them may have been cut."""
    if not cut:
        return "."
    return (
        f". {cut:.0%} of the samples were cut at {max_new} tokens: this is the KL of "
        "what was sampled, and the whole KL is at least as large (--max-new)."
    )


def of_scores(task: Task, models: list) -> dict:
    """Reliability of a reward model on held-out pairs of all seeds."""
    from workbench import views

    parts = []
    for seed, model in models:
        measure = task.measure(task.problem.of_seed(seed))
        parts.append(measure.margins(model, measure.held_out))
    margin = torch.cat(parts)
    chance = margin.sigmoid()
    table = calibration.reliability(chance, torch.ones_like(chance))
    error = calibration.ece(chance, torch.ones_like(chance))
    caption = (
        f"{len(chance)} held-out pairs in both orders: stated and observed preference "
        f"differ by {error:.3f} on average (expected calibration error)."
    )
    return {"reliability": views.reliability(table, caption=caption)}


def names(trains: str) -> tuple[str, ...]:
    """The figures of what is trained, those of ``of_policy`` or ``of_scores``."""
    of_policy = ("implicit_rewards", "kl_drift")
    return ("reliability",) if trains == "reward model" else of_policy


def files(trains: str) -> tuple[str, ...]:
    """What ``save`` writes."""
    return report_page.files(names(trains))


def save(figures: dict, out: Outputs, title: str, lines: list[str]) -> None:
    """Write each figure as PNG and plotly JSON, and all of them into report.html.

    Args:
        figures: by name.
        out: the folder.
        title: of the report.
        lines: sentences at its top.
    """
    head = report_page.heading(title) + report_page.notes(lines)
    report_page.save(out, figures, title, head + report_page.figures(figures))
