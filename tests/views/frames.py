"""Small made-up frames of the shapes that `measure` gives."""

import numpy as np
import pandas as pd

STEPS = range(0, 101, 10)


def training(seeds: int = 3) -> pd.DataFrame:
    """Chosen and rejected fall, their margin and the KL rise."""
    rows = []
    for seed in range(seeds):
        for step in STEPS:
            chosen, rejected = -step * (1 + 0.1 * seed) / 100, -step / 25
            row = {"seed": seed, "step": step, "chosen": chosen, "rejected": rejected}
            row |= {"margin": chosen - rejected, "kl": step * (1 + seed) / 100}
            rows.append(row | {"loss": 0.7 / (1 + step)})
    return pd.DataFrame(rows)


def tokens() -> pd.DataFrame:
    """Two responses, one with a word said twice and one with markup."""
    rows = [
        (0, 0, "very", 0.3),
        (0, 1, "very", -0.2),
        (0, 2, "good", 0.8),
        (1, 0, "<script>alert(1)</script>", -0.5),
        (1, 1, "$x^$", -0.1),
    ]
    return pd.DataFrame(rows, columns=["row", "position", "token", "reward"])


def estimates(seeds: int = 1) -> pd.DataFrame:
    """Three estimators of a KL of 2 (plus the seed) nats."""
    rows = []
    for seed in range(seeds):
        for name, mean in (("k1", 1.9), ("k2", 2.3), ("k3", 2.05)):
            row = {"seed": seed, "estimator": name, "mean": mean + seed}
            row |= {"low": mean + seed - 0.2, "high": mean + seed + 0.2}
            rows.append(row | {"n": 256, "exact": 2.0 + seed})
    return pd.DataFrame(rows)


def curve(seeds: int = 1, bend: float = 0.6) -> pd.DataFrame:
    """Gold with a hump, proxy without; kl is the square of the step in tenths."""
    rows = []
    for seed in range(seeds):
        for step in range(25):
            d = step / 10
            gold, proxy = 2 * d - bend * d * d + 0.1 * seed, 2 * d
            row = {"seed": seed, "step": step, "kl": d * d}
            rows.append(row | {"gold": gold, "proxy": proxy})
    return pd.DataFrame(rows)


def points() -> pd.DataFrame:
    """Three methods with two seeds each."""
    rows = [
        (method, seed, kl + 0.1 * seed, kl / 2)
        for method, kl in (("dpo", 1.0), ("ppo", 2.0), ("a_new_one", 3.0))
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "kl", "gold"])


def bins() -> pd.DataFrame:
    """A reliability table of four bins, one of them empty."""
    low = np.array([0.0, 0.25, 0.5, 0.75])
    observed = np.array([0.2, 0.4, np.nan, 0.8])
    table = {"low": low, "high": low + 0.25, "predicted": low + 0.1}
    return pd.DataFrame(table | {"observed": observed, "share": [0.3, 0.2, 0.0, 0.5]})


def spiral() -> pd.DataFrame:
    """A path on the simplex that circles the middle."""
    angle = np.linspace(0, 6, 30)
    shares = [1 / 3 + 0.2 * np.cos(angle + k * 2 * np.pi / 3) for k in range(3)]
    names = ("rock", "paper", "scissors")
    table = {"curve": "nash_md", "step": range(30)}
    return pd.DataFrame(table | dict(zip(names, shares, strict=True)))


def swept(seeds: int = 3) -> pd.DataFrame:
    """Gold falls as labels are flipped; one method of the two has no look yet."""
    rows = [
        (method, flip, seed, top - flip + 0.1 * seed, 1 + flip)
        for method, top in (("dpo", 1.0), ("a_new_one", 0.5))
        for flip in (0.0, 0.2, 0.4)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["method", "flip", "seed", "gold", "kl"])


def arena(count: int = 20, seeds: int = 2) -> pd.DataFrame:
    """Many methods, crowded in the middle."""
    kinds, rows = ("pairs", "thumbs", "a new kind"), []
    for i in range(count):
        kl = 1 + 0.13 * (i % 5) + 0.04 * i
        for seed in range(seeds):
            gold = 1.2 * np.sqrt(kl) - 0.1 * (i % 3) + 0.02 * seed
            rows.append((f"method_{i}", kinds[i % 3], seed, kl, gold))
    return pd.DataFrame(rows, columns=["method", "data", "seed", "kl", "gold"])


def displaced(seeds: int = 2) -> pd.DataFrame:
    """The higher the score, the deeper the fall; the other score is the reverse."""
    rows = [
        (seed, pair, pair**2, -(pair**2), 2.0 - pair - seed, -pair - 3.0)
        for seed in range(seeds)
        for pair in range(8)
    ]
    names = ["seed", "pair", "good", "bad", "chosen", "rejected"]
    return pd.DataFrame(rows, columns=names)


def unseen() -> pd.DataFrame:
    """The mass on unseen responses grows with one method and not with the other."""
    rows = [
        (method, seed, step, 0.3 + rate * step * (1 + 0.1 * seed), step / 10)
        for method, rate in (("dpo", 0.004), ("rpo", 0.0))
        for seed in range(3)
        for step in STEPS
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "step", "unseen", "margin"])
