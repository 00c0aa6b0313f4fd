"""Recomputes every statistic of `crates/measures` that has an outside definition, with other people's code.

Writes `oracle.json` beside itself: inputs and what SciPy, statsmodels, scikit-learn and lm-sim make of them. The Rust tests
(`crates/measures/tests/oracle.rs`) read it. Run after changing this file:

    pip install scipy==1.17.1 statsmodels==0.15.0 scikit-learn==1.9.1 lm-sim==0.1.1 pandas
    python tests/statistics/oracle.py
"""

import itertools
import json
import pathlib

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from lmsim.metrics import CAPA, EC
from scipy import optimize, stats
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

rng = np.random.default_rng(14)


def plain(x):
    """To JSON numbers of at most 17 digits."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple, np.ndarray)):
        return [plain(v) for v in x]
    if isinstance(x, (np.bool_, bool)):
        return bool(x)
    return int(x) if isinstance(x, (int, np.integer)) else float(x)


def one_hot(predictions, classes):
    return [np.eye(classes)[p] for p in predictions]


def pooled(pairs):
    """Ratio of sums over (observed, expected)."""
    return sum(o - e for o, e in pairs) / sum(1 - e for o, e in pairs)


def lmsim(metric, a, b, labels):
    metric.compute_k(a, b, labels)
    return metric.observed, metric.expected


def estimands():
    runs, n = 5, 24
    difficulty = rng.normal(size=n)
    right = (difficulty + 0.5 * rng.normal(size=(runs, n)) < 0.6).astype(int)
    right[1] = 1  # a run at the ceiling
    right[2] = 1  # and a pair there
    labels = np.ones(n, int)
    pairs = list(itertools.combinations(range(runs), 2))
    ec = pooled([lmsim(EC(), one_hot(right[a], 2), one_hot(right[b], 2), labels) for a, b in pairs])
    disagreement = np.mean([np.mean(right[a] != right[b]) for a, b in pairs])
    jackknife = []
    for out in range(runs):
        kept = np.delete(right, out, axis=0)
        jackknife.append(np.mean(np.var(kept, axis=0, ddof=1)))
    se = np.sqrt((runs - 1) / runs * np.sum((jackknife - np.mean(jackknife)) ** 2))
    classes = 3
    truth = rng.integers(classes, size=n)
    soft = rng.dirichlet(np.ones(classes), size=(3, n)) + 0.8 * np.eye(classes)[truth]
    soft /= soft.sum(axis=2, keepdims=True)
    hard = soft.argmax(axis=2)
    triples = list(itertools.combinations(range(3), 2))
    capa_hard = pooled(
        [lmsim(CAPA(prob=False), one_hot(hard[a], 3), one_hot(hard[b], 3), truth) for a, b in triples]
    )
    capa_soft = pooled([lmsim(CAPA(), soft[a], soft[b], truth) for a, b in triples])
    flips = [(rng.random((4, 20)) < p).astype(int) for p in (0.3, 0.7)] + [np.zeros((4, 10), int)]

    def kappa_terms(a, b):
        table = np.array([[np.sum((a == i) & (b == j)) for j in (0, 1)] for i in (0, 1)]) / len(a)
        observed, expected = np.trace(table), float(table.sum(1) @ table.sum(0))
        if expected < 1:
            assert np.isclose((observed - expected) / (1 - expected), cohen_kappa_score(a, b))
        return observed, expected

    flip = pooled([kappa_terms(f[a], f[b]) for f in flips for a, b in itertools.combinations(range(4), 2)])
    counts = right.sum(axis=1)
    logits = np.log((counts + 0.5) / (n - counts + 0.5))
    points = [(h, k, rho) for h in (-1.2, 0.3, 1.476) for k in (0.14, 1.0) for rho in (-0.5, 0.2, 0.876, 0.97)]
    normal = stats.multivariate_normal
    bvn = [normal.cdf([h, k], cov=[[1, r], [r, 1]], abseps=1e-13, releps=1e-13, maxpts=10**7) for h, k, r in points]
    a, b = rng.random(5), rng.random(5)
    return {
        "right": right.ravel(), "examples": n, "runs": runs,
        "path_variance": np.mean(np.var(right, axis=0, ddof=1)), "half_disagreement": disagreement / 2,
        "path_variance_se": se, "shared": ec, "counts": counts, "logit_spread": np.std(logits, ddof=1),
        "labels": truth, "classes": classes, "hard": hard.ravel(), "soft": soft.ravel(),
        "capa_hard": capa_hard, "capa_soft": capa_soft,
        "flips": [f.ravel() for f in flips], "bases": [f.shape[1] for f in flips], "flip_agreement": flip,
        "points": points, "bivariate_normal": bvn,
        "profile_a": a, "profile_b": b,
        "arcsine_distance": np.sqrt(np.mean((np.arcsin(np.sqrt(a)) - np.arcsin(np.sqrt(b))) ** 2)),
    }


def contrasts():
    x = np.round(rng.normal(0.02, 0.05, 9), 4)
    interval = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    margin = 0.06
    tost = DescrStatsW(x).ttost_mean(-margin, margin)[0]
    flip = stats.permutation_test((x, np.zeros(9)), lambda a, b: np.sum(a - b), permutation_type="samples",
                                  n_resamples=np.inf).pvalue
    p = np.array([0.001, 0.04, 0.03, 0.008, 0.2, 0.04])
    course = rng.normal(size=9)
    ladder_steps = [0, 100, 300, 600, 1000]
    to_go = np.array([2.5, 0.9, 0.5, 0.2, 0.1])
    values = rng.normal(size=5)
    return {
        "figures": x, "low": interval.low, "high": interval.high, "p": stats.ttest_1samp(x, 0).pvalue,
        "se": stats.sem(x), "margin": margin, "tost": tost, "sign_flip": flip,
        "raw_p": p, "holm": multipletests(p, method="holm")[1], "bh": multipletests(p, method="fdr_bh")[1],
        "course": course, "isotonic": IsotonicRegression().fit_transform(np.arange(9), course),
        "steps": ladder_steps, "to_go": to_go, "values": values,
        "slope": stats.linregress(np.log(to_go[1:]), values[1:]).slope,
        "interpolation_x": [0.5, 0.62, 0.9], "interpolation_y": [1.0, 3.0, 2.0],
        "interpolation_at": [0.55, 0.7, 0.9], "interpolated": np.interp([0.55, 0.7, 0.9], [0.5, 0.62, 0.9], [1, 3, 2]),
    }


def plan():
    cases = [(t, df, nc) for t in (-1.0, 0.5, 2.57, 4.3) for df in (1, 2, 5, 11) for nc in (0.7, 2.0, 3.5)]
    tests = [(seeds, alpha, power) for seeds in (3, 6, 12) for alpha in (0.05, 0.0125) for power in (0.8, 0.9)]

    def smallest(seeds, alpha, power):
        df = seeds - 1
        cut = stats.t.ppf(1 - alpha / 2, df)
        # SciPy has no number for the far tail on the other side where it underflows.
        excess = lambda nc: stats.nct.sf(cut, df, nc) + np.nan_to_num(stats.nct.cdf(-cut, df, nc)) - power
        return optimize.brentq(excess, 1e-6, 20) / np.sqrt(seeds)

    return {
        "cases": cases, "cdf": [stats.nct.cdf(*case) for case in cases],
        "tests": tests, "effects": [smallest(*test) for test in tests],
        "sd_factors": [np.sqrt(5 / stats.chi2.ppf(q, 5)) for q in (0.975, 0.025)],
    }


def components():
    heads, orders, draws = 4, 3, 2
    y = rng.normal(size=(heads, orders, draws)) + rng.normal(size=(heads, 1, 1))
    rows = [(h, o, d, y[h, o, d]) for h in range(heads) for o in range(orders) for d in range(draws)]
    table = pd.DataFrame(rows, columns=["h", "o", "d", "y"])
    anova = anova_lm(smf.ols("y ~ C(h)*C(o)*C(d)", table).fit())
    names = ["C(h)", "C(o)", "C(d)", "C(h):C(o)", "C(h):C(d)", "C(o):C(d)", "C(h):C(o):C(d)"]
    squares = anova["sum_sq"] / anova["df"]
    ms = [squares[name] for name in names]
    a, b, c, ab, ac, bc, abc = ms
    variances = [
        (a - ab - ac + abc) / (orders * draws), (b - ab - bc + abc) / (heads * draws),
        (c - ac - bc + abc) / (heads * orders),
        (ab - abc) / draws, (ac - abc) / orders, (bc - abc) / heads, abc,
    ]
    return {"values": y.ravel(), "levels": [heads, orders, draws], "mean_squares": ms, "variances": variances}


def runs():
    n, examples = 30, 40
    x = np.round(rng.normal(0.3, 0.1, n) + 0.2 * rng.random(n) ** 4, 4)
    y = np.round(0.8 + 0.05 * (x - 0.3) + rng.normal(0, 0.01, n), 3)
    chi = [np.std(x, ddof=1) * np.sqrt((n - 1) / stats.chi2.ppf(q, n - 1)) for q in (0.975, 0.025)]
    bca = stats.bootstrap((x,), lambda v, axis: np.std(v, ddof=1, axis=axis), n_resamples=100_000,
                          confidence_level=0.95, method="BCa", rng=np.random.default_rng(1)).confidence_interval
    test = lambda w: stats.pearsonr(x + w * y, x - w * y).pvalue - 0.05
    ratio = np.std(x, ddof=1) / np.std(y, ddof=1)
    low, high = optimize.brentq(test, ratio / 10, ratio), optimize.brentq(test, ratio, ratio * 10)
    pearson = stats.pearsonr(x, y)
    rho = stats.spearmanr(x, y).statistic
    half = stats.norm.ppf(0.975) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    member = rng.random(n) < 0.4
    ties = np.round(x, 1)
    right = (rng.random((n, examples)) < rng.beta(2, 1, examples)).astype(int)
    right[:, 0], right[:, 1] = 1, 0
    accuracy = right.mean(axis=1)
    return {
        "x": x, "y": y, "sd": np.std(x, ddof=1), "chi_square": chi, "bca": [bca.low, bca.high],
        "ratio": ratio, "ratio_interval": [low, high],
        "pearson": pearson.statistic, "pearson_interval": list(pearson.confidence_interval(0.95)),
        "spearman": rho, "spearman_interval": list(np.tanh(np.arctanh(rho) + np.array([-half, half]))),
        "scores": ties, "member": member, "auc": roc_auc_score(member, ties),
        "counts": right.sum(axis=0), "accuracies": accuracy,
        "disagreement": np.mean([np.mean(a != b) for a, b in itertools.combinations(right, 2)]),
        "right_in_all": int(np.sum(right.all(axis=0))), "right_in_none": int(np.sum(~right.any(axis=0))),
        "net": np.var(accuracy, ddof=1) - np.mean(np.var(right, axis=0, ddof=1)) / examples,
    }


def barriers():
    n = 11
    alphas = np.linspace(0, 1, n)
    examples = rng.random((12, n)) + 0.6 * np.sin(np.pi * alphas)
    losses = examples.mean(axis=0)
    height = losses - ((1 - alphas) * losses[0] + alphas * losses[-1])
    top = 1 + int(np.argmax(height[1:-1]))
    per_example = examples[:, top] - (1 - alphas[top]) * examples[:, 0] - alphas[top] * examples[:, -1]
    gap = max(
        losses[k] - np.interp(alphas[k], [alphas[i], alphas[j]], [losses[i], losses[j]])
        for i in range(n) for j in range(i + 1, n) for k in range(i, j + 1)
    )
    raw = int(np.argmax(losses))
    return {
        "alphas": alphas, "examples": examples.T.ravel(), "n_examples": 12, "losses": losses,
        "signed": height[top], "top": top, "midpoint": height[n // 2], "dip": max(0, -height[1:-1].min()),
        "over_mean": losses[1:-1].max() - losses[[0, -1]].mean(),
        "over_max": losses[1:-1].max() - losses[[0, -1]].max(),
        "at_raw_maximum": height[raw], "convexity_gap": gap, "standard_error": stats.sem(per_example),
    }


if __name__ == "__main__":
    found = {f.__name__: f() for f in (estimands, contrasts, plan, components, runs, barriers)}
    path = pathlib.Path(__file__).with_name("oracle.json")
    path.write_text(json.dumps(plain(found), separators=(",", ":")) + "\n")
