"""The figures of an audit; each caption can be checked against its data."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from workbench.core.statistics import cluster_interval
from workbench.experiment.audit import Audit
from workbench.experiment.audit_signs import of_audit, ranged
from workbench.measure import calibration
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Layer, Line, Points, VLine
from workbench.views.reliability_diagram import reliability
from workbench.views.style import role

NAMES = ("rewards", "reliability", "drift", "gap", "proxy", "logged", "logged_fit")
OVER = "error bars: 95 % intervals over prompts"
# what trainers log → the audit's own measure of the same thing, and how it looks
REWARDS = {"chosen": "chosen", "rejected": "rejected", "margins": "margin"}
BESIDE = {f"rewards/{theirs}": ours for theirs, ours in REWARDS.items()}
BESIDE |= {"rewards/accuracies": "accuracy"}
LOGPS = {"logps/chosen": "chosen_logp", "logps/rejected": "rejected_logp"}


def of(found: Audit) -> dict[str, Fig]:
    """By name, those of ``NAMES`` for which there are data."""
    said = of_audit(found)
    made = {
        "rewards": Fig(
            _rewards(found.pairs),
            f"{said[0]}; {said[1]}.",
            found.pairs.drop(columns="prompt"),
        ),
        "reliability": _reliability(found),
        "drift": Fig(_drift(found.drawn.drift), f"{said[2]}.", found.drawn.drift),
    }
    if found.gap is not None:
        made["gap"] = _gap(found)
    if found.proxy is not None:
        made["proxy"] = _proxy(found)
    if found.trained.logged:
        made |= _logged(found)
    return made


def beside(found: Audit):
    """The last logged value of what the audit measures, too, and the audit's own.

    Returns:
        DataFrame[measure, logged, logged_eval, audit, low, high]; intervals over
        prompts, NaN where a training program did not log it.
    """
    import pandas as pd

    logged = {name: curve[-1][1] for name, curve in found.trained.logged.items()}
    clusters = torch.tensor(found.pairs["prompt"].factorize()[0].tolist())
    own = found.summary.set_index("measure")
    rows = []
    for name, measure in (BESIDE | LOGPS).items():
        if measure in own.index:
            value, low, high = own.loc[measure, ["value", "low", "high"]]
        else:
            each = torch.tensor(found.pairs[measure].tolist())
            value, _, low, high = cluster_interval(each, clusters)
        both = logged.get(name), logged.get(f"eval_{name}")
        if both != (None, None):
            rows.append((name, *both, value, low, high))
    names = ["measure", "logged", "logged_eval", "audit", "low", "high"]
    return pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[1:], float))


def _reliability(found: Audit) -> Fig:
    chance = torch.tensor(found.pairs["margin"].tolist()).sigmoid()
    won = torch.ones_like(chance)
    error = calibration.ece(chance, won)
    return reliability(
        calibration.reliability(chance, won),
        caption=f"Stated and observed preference differ by {error:.3f} on average "
        f"({len(chance)} pairs in both orders).",
    )


def _rewards(frame) -> Panels:
    """Chosen against rejected, and margin against length, a point per pair."""
    hover = [f"line {line}" for line in frame["line"]]
    values = [*frame["chosen"], *frame["rejected"]]
    ends = [min(values), max(values)]
    longer = (frame["chosen_tokens"] - frame["rejected_tokens"]).tolist()
    look = {"style": role("policy"), "hover": hover, "size": 5, "faint": True}
    return Panels(
        [
            Chart(
                "Rewards of each pair", "rejected (reward units)",
                "chosen (reward units)",
                [Points(frame["rejected"].tolist(), frame["chosen"].tolist(), "a pair",
                        **look),
                 Line(ends, ends, "margin 0", role("guide")), HLine(0), VLine(0)],
            ),
            Chart(
                "Margin and length", "chosen longer by (tokens)",
                "margin (reward units)",
                [Points(longer, frame["margin"].tolist(), "a pair", **look), HLine(0)],
            ),
        ]
    )  # fmt: skip


def _drift(kl) -> Panels:
    names = kl["estimator"].tolist()
    points = Points(
        range(len(names)), kl["mean"].tolist(), "after training", role("policy"),
        *_spread(kl["mean"], kl["low"], kl["high"]),
    )  # fmt: skip
    title, label = "Drift by four estimators", "KL (nats per sequence)"
    return Panels(
        [Chart(title, "", label, [points, HLine(0)], note=OVER, x_names=names)]
    )


def _spread(middle, low, high) -> tuple[list[float], list[float]]:
    """Ends of error bars; a value without an interval has none."""
    return low.fillna(middle).tolist(), high.fillna(middle).tolist()


def _gap(found: Audit) -> Fig:
    rows = found.gap
    share = rows[rows["measure"] == "accuracy"]
    rest = rows[rows["measure"] != "accuracy"]
    charts = [
        Chart(
            title, "", label,
            [Points(range(len(part)), part["gap"].tolist(), "training less held-out",
                    role("policy"), *_spread(part["gap"], part["low"], part["high"])),
             HLine(0)],
            note=OVER, x_names=part["measure"].tolist(),
        )
        for title, label, part in (
            ("Gap of the accuracy", "gap (share of pairs)", share),
            ("Gap of rewards", "gap (reward units)", rest),
        )
    ]  # fmt: skip
    one = share.iloc[0]
    caption = (
        f"Accuracy is {one['training']:.2f} on the pairs of --pairs and "
        f"{one['held_out']:.2f} on the held-out ones: a gap of {ranged(one, 'gap')}."
    )
    return Fig(Panels(charts), caption, rows)


def _proxy(found: Audit) -> Fig:
    table = found.proxy.summary.set_index("measure")
    ends = table.loc[["proxy reward before", "proxy reward after"]]
    samples = found.proxy.samples
    left = Chart(
        "Proxy reward of samples", "", "proxy reward (its own units)",
        [Points(range(2), ends["value"].tolist(), "mean", role("proxy"),
                *_spread(ends["value"], ends["low"], ends["high"]))],
        note=OVER, x_names=["before", "after"],
    )  # fmt: skip
    layers = [
        Points(
            part["tokens"].tolist(), part["reward"].tolist(), str(name),
            role(str(name)), size=5, faint=True,
        )
        for name, part in samples.groupby("model", sort=False)
    ]  # fmt: skip
    right = Chart(
        "Proxy reward and length", "sampled length (tokens)",
        "proxy reward (its own units)", layers,
    )  # fmt: skip
    gain = table.loc["gain of proxy reward"]
    caption = f"The proxy reward of samples changed by {ranged(gain)}."
    return Fig(Panels([left, right]), caption, samples)


# ---- what was logged in training ---------------------------------------------------


def _logged(found: Audit) -> dict[str, Fig]:
    """Curves of the training program, the audit's own values at their ends."""
    table = beside(found)
    logged, frame = found.trained.logged, found.trained.frame
    own = table.set_index("measure")
    wide = {
        "logged": [
            _curves("Rewards in training", "reward (units of the run)", logged, own,
                    {f"rewards/{name}": ours for name, ours in REWARDS.items()}),
            _curves("Log-probs in training", "log-prob (nats per response)", logged,
                    own, {"logps/chosen": "chosen", "logps/rejected": "rejected"}),
        ],
        "logged_fit": [
            _curves("Accuracy in training", "share of pairs", logged, own,
                    {"rewards/accuracies": "policy"}),
            _curves("Loss in training", "loss", logged, own, {"loss": "policy"}),
        ],
    }  # fmt: skip
    caption = (
        f"Lines are what was logged ({len(logged)} curves), dashed on evaluation "
        "pairs; points at the end are this audit's, with 95 % intervals over prompts."
    )
    drawn = {name: list(filter(None, charts)) for name, charts in wide.items()}
    return {
        name: Fig(Panels(charts), caption, table if name == "logged" else frame)
        for name, charts in drawn.items()
        if charts
    }


def _curves(
    title: str, label: str, logged: Mapping, own, looks: Mapping[str, str]
) -> Chart | None:
    """One chart of several logged curves; None where none of them was logged."""
    layers: list[Layer] = []
    for name, look in looks.items():
        for key, dash in ((name, "solid"), (f"eval_{name}", "dash")):
            curve: Sequence[tuple[int, float]] = logged.get(key, ())
            if not curve:
                continue
            steps, values = zip(*curve, strict=True)
            style = replace(role(look), dash=dash)
            lone = len(curve) == 1
            layers.append(Line(steps, values, key, style, markers=lone))
        if layers and name in own.index:
            row, last = own.loc[[name]], _last(logged, name)
            layers.append(
                Points([last], row["audit"].tolist(), "", role(look),
                       *_spread(row["audit"], row["low"], row["high"]))
            )  # fmt: skip
    return Chart(title, "step", label, layers) if layers else None


def _last(logged: Mapping, name: str) -> int:
    """The last step at which a measure was logged, in training or evaluation."""
    curves = (logged.get(key, ()) for key in (name, f"eval_{name}"))
    return max(curve[-1][0] for curve in curves if curve)
