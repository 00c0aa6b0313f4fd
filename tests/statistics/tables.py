"""Recomputes the columns of a study's tables from its finer tables, with other people's code, and prints the largest differences.

    pip install numpy==2.4.0 scipy==1.17.1 scikit-learn==1.9.1 pandas pyarrow
    python tests/statistics/tables.py out/world/tables

`predictions` -> `runs`, `pairs`; `paths` -> `pairs`; `runs` -> `soups`, `selection`, `spreads`, `correlations`; `runs`, `pairs`, `soups`
and `interventions` -> `cells`; the same -> `summary`. Nothing of this repository is imported. Exit code 1 if a column differs by
more than its tolerance.
"""

import itertools
import math
import pathlib
import sys

import numpy as np
import pandas as pd
from scipy import special, stats
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import f1_score, matthews_corrcoef

PLACE = ["arm", "pretraining_seed", "step"]
PRIMARY = ["ood_path_variance", "ood_error_barrier", "profile_distance"]
LEVELS = ["rung", "early", "late"]


class Ledger:
    """Largest difference of each column, and how many values were compared."""

    def __init__(self):
        self.columns = {}

    def __call__(self, table, column, found, expected, tolerance=1e-9):
        found, expected = np.atleast_1d(np.asarray(found, float)), np.atleast_1d(np.asarray(expected, float))
        assert found.shape == expected.shape, f"{table}.{column}: {found.shape} values, {expected.shape} recomputed"
        both = np.isnan(found) & np.isnan(expected)
        scale = np.maximum(1.0, np.abs(np.where(both, 0, expected)))
        difference = np.where(both, 0.0, np.abs(found - expected) / scale)
        # Absent on one side alone is as wrong as can be.
        difference = np.where(np.isnan(difference), np.inf, difference)
        n, worst, _ = self.columns.get((table, column), (0, 0.0, 0.0))
        largest = float(difference.max()) if difference.size else 0.0
        self.columns[table, column] = (n + difference.size, max(worst, largest), tolerance)

    def show(self):
        wrong = 0
        print(f"{'table':<14} {'column':<28} {'values':>9} {'largest difference':>19}")
        for (table, column), (n, worst, tolerance) in self.columns.items():
            mark = "" if worst <= tolerance else "  <-- above " + format(tolerance, ".0e")
            wrong += worst > tolerance
            print(f"{table:<14} {column:<28} {n:>9} {worst:>19.2e}{mark}")
        print(f"{len(self.columns)} columns, {sum(n for n, *_ in self.columns.values())} values, {wrong} columns beyond their tolerance")
        return wrong


def read(folder, name):
    path = folder / f"{name}.parquet"
    return pd.read_parquet(path) if path.exists() else pd.DataFrame()


def softmax(logits):
    return special.softmax(logits.astype(float), axis=1)


# predictions -> runs, pairs


def answers(folder):
    """(run, split) -> labels, predictions, probabilities, cases, in the order of the examples."""
    found = {}
    for path in sorted((folder / "predictions").glob("*.parquet")):
        for (run, split), rows in pd.read_parquet(path).groupby(["run", "split"], sort=False):
            rows = rows.set_index("example")
            found[run, split] = (
                rows["label"].to_numpy(int),
                rows["prediction"].to_numpy(int),
                softmax(np.stack(rows["logits"].to_numpy())),
                rows["case"].to_numpy(),
                tuple(rows.index),
            )
    return found


def check_runs(check, runs, known):
    for row in runs.itertuples():
        if (row.run, row.split) not in known:
            continue
        labels, predictions, p, cases, _ = known[row.run, row.split]
        here = np.ones(len(labels), bool) if row.case == "" else cases == row.case
        labels, predictions, p = labels[here], predictions[here], p[here]
        right, of_label = predictions == labels, p[np.arange(len(labels)), labels]
        confidence = p[np.arange(len(labels)), predictions]
        check("runs", "n", row.n, len(labels))
        check("runs", "accuracy", row.accuracy, right.mean())
        check("runs", "loss", row.loss, -np.log(of_label).mean(), 1e-6)
        check("runs", "expected_error", row.expected_error, 1 - of_label.mean(), 1e-6)
        check("runs", "majority", row.majority, np.bincount(labels).max() / len(labels))
        bins = np.clip(np.ceil(confidence * 10), 1, 10)
        calibration = sum(abs((right[bins == b] - confidence[bins == b]).sum()) for b in range(1, 11)) / len(labels)
        check("runs", "calibration_error", row.calibration_error, calibration, 1e-6)
        check("runs", "mcc", row.mcc, matthews_corrcoef(labels, predictions), 1e-9)
        if len(set(labels)) == p.shape[1]:
            check("runs", "f1", row.f1, f1_score(labels, predictions, average="macro", labels=range(p.shape[1]), zero_division=0), 1e-9)


def check_pairs(check, pairs, known):
    for row in pairs[pairs["path"] == "linear"].itertuples():
        one, other = known.get((row.run_a, row.split)), known.get((row.run_b, row.split))
        if one is None or other is None or one[4] != other[4]:
            continue
        right_a, right_b = one[1] == one[0], other[1] == other[0]
        a, b = right_a.mean(), right_b.mean()
        check("pairs", "accuracy_a", row.accuracy_a, a)
        check("pairs", "accuracy_b", row.accuracy_b, b)
        consistency = (right_a == right_b).mean()
        check("pairs", "consistency", row.consistency, consistency)
        check("pairs", "path_variance", row.path_variance, np.var([right_a, right_b], axis=0, ddof=1).mean())
        agreement = (one[1] == other[1]).mean()
        check("pairs", "agreement", row.agreement, agreement)
        expected = a * b + (1 - a) * (1 - b) / (one[2].shape[1] - 1)
        corrected = (agreement - expected) / (1 - expected) if expected < 1 else math.nan
        check("pairs", "chance_corrected_agreement", row.chance_corrected_agreement, corrected, 1e-8)
        distance = jensenshannon(one[2], other[2], base=2, axis=1)
        check("pairs", "jensen_shannon", row.jensen_shannon, np.nan_to_num(distance).mean(), 1e-6)


# paths -> pairs


def height(alphas, values):
    chord = np.interp(alphas, [alphas[0], alphas[-1]], [values[0], values[-1]])
    return max(0.0, (values - chord).max())


def check_barriers(check, pairs, paths):
    rows = pairs.set_index(["run_a", "run_b", "path", "split"])
    for key, points in paths.groupby(["run_a", "run_b", "path", "split"]):
        points = points[(points["alpha"] >= 0) & (points["alpha"] <= 1)].sort_values("alpha")
        if key not in rows.index:
            continue
        row, alphas = rows.loc[key], points["alpha"].to_numpy()
        loss = points["loss"].to_numpy()
        check("pairs", "barrier", row["barrier"], height(alphas, loss))
        check("pairs", "barrier_over_mean", row["barrier_over_mean"], loss.max() - (loss[0] + loss[-1]) / 2)
        check("pairs", "barrier_over_max", row["barrier_over_max"], loss.max() - max(loss[0], loss[-1]))
        gaps = (height(alphas[i : j + 1], loss[i : j + 1]) for i, j in itertools.combinations(range(len(loss)), 2))
        check("pairs", "convexity_gap", row["convexity_gap"], max(gaps))
        check("pairs", "error_barrier", row["error_barrier"], height(alphas, 1 - points["accuracy"].to_numpy()))
        check("pairs", "expected_error_barrier", row["expected_error_barrier"], height(alphas, points["expected_error"].to_numpy()))


# interventions -> pairs


def check_profiles(check, pairs, interventions):
    if interventions.empty:
        return
    own = interventions[~interventions["intervention"].str.contains("/")]
    profiles = own.pivot(index="run", columns="intervention", values="effect")
    for row in pairs[pairs["profile_distance"].notna()].itertuples():
        difference = profiles.loc[row.run_a] - profiles.loc[row.run_b]
        check("pairs", "profile_distance", row.profile_distance, math.sqrt((difference**2).mean()))


# runs -> soups, selection, spreads, correlations


def check_soups(check, soups, runs):
    accuracy = runs[runs["case"] == ""].set_index(["run", "split"])["accuracy"]
    for row in soups.itertuples():
        members = [accuracy[run, row.split] for run in row.members.split()]
        check("soups", "gain_over_mean", row.gain_over_mean, row.accuracy - np.mean(members))
        check("soups", "gain_over_best", row.gain_over_best, row.accuracy - max(members))


def check_selection(check, selection, runs):
    whole = runs[runs["case"] == ""].copy()
    whole["kept"] = whole["score"].where(whole["score"].notna(), whole["accuracy"])
    held_out = whole[whole["split"] == "val"].set_index("run")["kept"]
    for key, rows in selection.groupby([*PLACE, "split"]):
        here = whole[(whole[[*PLACE, "split"]] == key).all(axis=1) & whole["run"].isin(held_out.index)]
        scores, chosen = here["kept"].to_numpy(float), held_out[here["run"]].to_numpy(float)
        n = len(scores)
        for row in rows.itertuples():
            # Groups of ties, best first: the chance that the best of a draw is among them.
            expected = 0.0
            for value in np.unique(chosen):
                below, upto = (chosen < value).sum(), (chosen <= value).sum()
                chance = (special.comb(upto, row.best_of) - special.comb(below, row.best_of)) / special.comb(n, row.best_of)
                expected += chance * scores[chosen == value].mean()
            check("selection", "expected", row.expected, expected)
            check("selection", "mean", row.mean, scores.mean())
            check("selection", "sd", row.sd, scores.std(ddof=1))


def check_spreads(check, spreads, runs, items):
    for row in spreads.itertuples():
        here = (runs[[*PLACE, "split", "case"]] == [row.arm, row.pretraining_seed, row.step, row.split, row.case]).all(axis=1)
        x = runs[here]["accuracy"].to_numpy(float)
        check("spreads", "runs", row.runs, len(x))
        check("spreads", "mean", row.mean, x.mean())
        check("spreads", "minimum", row.minimum, x.min())
        check("spreads", "maximum", row.maximum, x.max())
        check("spreads", "sd", row.sd, x.std(ddof=1))
        low, high = stats.chi2.ppf([0.025, 0.975], len(x) - 1)
        check("spreads", "sd_lower", row.sd_lower, x.std(ddof=1) * math.sqrt((len(x) - 1) / high), 1e-8)
        check("spreads", "sd_upper", row.sd_upper, x.std(ddof=1) * math.sqrt((len(x) - 1) / low), 1e-8)
        if row.sd_bca_lower == row.sd_bca_lower and row.sd_bca_lower is not None and x.std() > 0:
            draw = stats.bootstrap((x,), lambda x, axis: x.std(ddof=1, axis=axis), n_resamples=4000, method="BCa", rng=np.random.default_rng(0))
            # Another stream of random numbers: in units of the interval's width.
            width = row.sd_bca_upper - row.sd_bca_lower
            check("spreads", "sd_bca_lower (widths)", row.sd_bca_lower / width, draw.confidence_interval.low / width, 0.2)
            check("spreads", "sd_bca_upper (widths)", row.sd_bca_upper / width, draw.confidence_interval.high / width, 0.2)
        if row.items is not None and row.items == row.items:
            of_split = items[(items[[*PLACE, "split"]] == [row.arm, row.pretraining_seed, row.step, row.split]).all(axis=1)]
            right, n = of_split["right"].to_numpy(float), len(x)
            check("spreads", "right_in_all", row.right_in_all, (right == n).sum())
            check("spreads", "right_in_none", row.right_in_none, (right == 0).sum())
            disagreement = (2 * right * (n - right) / (n * (n - 1))).mean()
            check("spreads", "disagreement", row.disagreement, disagreement)
            pairs = [a * b + (1 - a) * (1 - b) for a, b in itertools.combinations(x, 2)]
            shared = sum(1 - disagreement - e for e in pairs) / sum(1 - e for e in pairs)
            check("spreads", "shared", row.shared, shared)
            q = right / n
            check("spreads", "net_variance", row.net_variance, x.var(ddof=1) - (q * (1 - q) * n / (n - 1)).mean() / len(right))


def check_correlations(check, correlations, runs):
    if correlations.empty:
        return
    wide = {key: rows.pivot_table(index="run", columns=["split", "case"], values="accuracy") for key, rows in runs.groupby(PLACE)}
    for row in correlations.itertuples():
        scores = wide[row.arm, row.pretraining_seed, row.step]
        both = scores[[(row.split_x, row.case_x), (row.split_y, row.case_y)]].dropna().to_numpy()
        x, y, n = both[:, 0], both[:, 1], len(both)
        check("correlations", "runs", row.runs, n)
        if x.std() == 0 or y.std() == 0:
            continue
        pearson, spearman = stats.pearsonr(x, y), stats.spearmanr(x, y).statistic
        interval = pearson.confidence_interval()
        check("correlations", "pearson", row.pearson, pearson.statistic)
        check("correlations", "pearson_lower", row.pearson_lower, interval.low, 1e-8)
        check("correlations", "pearson_upper", row.pearson_upper, interval.high, 1e-8)
        check("correlations", "spearman", row.spearman, spearman)
        half = stats.norm.ppf(0.975) * math.sqrt((1 + spearman**2 / 2) / (n - 3))
        check("correlations", "spearman_lower", row.spearman_lower, math.tanh(math.atanh(spearman) - half), 1e-8)
        check("correlations", "spearman_upper", row.spearman_upper, math.tanh(math.atanh(spearman) + half), 1e-8)
        ratio, t = y.std(ddof=1) / x.std(ddof=1), stats.t.ppf(0.975, n - 2)
        k = 1 + 2 * (1 - pearson.statistic**2) * t**2 / (n - 2)
        check("correlations", "sd_ratio", row.sd_ratio, ratio)
        check("correlations", "sd_ratio_lower", row.sd_ratio_lower, ratio * math.sqrt(k - math.sqrt(k * k - 1)), 1e-7)
        check("correlations", "sd_ratio_upper", row.sd_ratio_upper, ratio * math.sqrt(k + math.sqrt(k * k - 1)), 1e-7)


# runs, pairs, soups, interventions -> cells and summary

# A cell is (runs: {unit: value}, pairs: {(unit, unit): value}), and a statistic takes the units that are kept.


def mean_of_runs(runs, pairs, keep):
    values = [value for unit, value in runs.items() if unit in keep]
    return np.mean(values) if values else math.nan


def sd_of_runs(runs, pairs, keep):
    values = [value for unit, value in runs.items() if unit in keep]
    return np.std(values, ddof=1) if len(values) > 1 else math.nan


def mean_of_pairs(runs, pairs, keep):
    values = [value for (a, b), value in pairs.items() if a in keep and b in keep]
    return np.mean(values) if values else math.nan


OOD_PAIRS = {
    "ood_path_variance": "path_variance",
    "ood_agreement": "agreement",
    "ood_chance_corrected": "chance_corrected_agreement",
    "ood_jensen_shannon": "jensen_shannon",
    "ood_error_barrier": "error_barrier",
    "ood_expected_error_barrier": "expected_error_barrier",
}
ID_PAIRS = {"id_barrier": "barrier", "id_convexity_gap": "convexity_gap"}
ONCE = ["weight_distance", "profile_distance", "counterfactual_agreement"]


def measures(runs, pairs, interventions):
    """measure -> (statistic, place -> (runs, pairs)); units are the fine-tuning seeds with those of head and order."""
    whole = runs[runs["case"] == ""]
    splits = set(whole["split"]) | set(pairs["split"]) if not pairs.empty else set(whole["split"])
    ood = min((split for split in splits if split.startswith("ood")), default="")
    found = {}

    def of_runs(name, statistic, rows, column):
        cells = {}
        for key, group in rows.groupby(PLACE):
            values = {unit(row): getattr(row, column) for row in group.itertuples() if getattr(row, column) == getattr(row, column)}
            cells[key] = (values, {})
        found[name] = (statistic, cells)

    seeds = {row.run: row for row in runs.itertuples()}

    def unit(row):
        known = seeds[row.run]
        return tuple(str(seed) for seed in (known.finetuning_seed, known.head_seed, known.order_seed))

    of_runs("id_accuracy", mean_of_runs, whole[whole["split"] == "id"], "accuracy")
    of_runs("ood_accuracy", mean_of_runs, whole[whole["split"] == ood], "accuracy")
    of_runs("ood_accuracy_sd", sd_of_runs, whole[whole["split"] == ood], "accuracy")
    if not interventions.empty:
        for name, rows in interventions.groupby("intervention"):
            of_runs(f"effect.{name}", mean_of_runs, rows, "effect")
    if pairs.empty:
        return found
    linear = pairs[pairs["path"] == "linear"]
    once = ood if ood in set(linear["split"]) else min(linear["split"])
    of_pairs = [(ood, OOD_PAIRS), ("id", ID_PAIRS), (once, {name: name for name in ONCE})]
    for split, columns in of_pairs:
        rows = linear[linear["split"] == split]
        for name, column in columns.items():
            cells = {}
            for row in rows.itertuples():
                value = getattr(row, column)
                if value is None or value != value:
                    continue
                one, other = seeds.get(row.run_a), seeds.get(row.run_b)
                if one is None or other is None:
                    continue
                ends = (unit(one), unit(other))
                cells.setdefault((row.arm, row.pretraining_seed, row.step), ({}, {}))[1][ends] = value
            found[name] = (mean_of_pairs, cells)
    return found


def units_of(cell):
    return set(cell[0]) | {unit for ends in cell[1] for unit in ends}


def value_of(statistic, cell, without=None):
    return statistic(cell[0], cell[1], units_of(cell) - {without})


def interval(statistic, families, weights):
    """Mean over families (lists of cells, one for each weight), its standard error, df and source of width."""

    def figure(values):
        return sum(weight * value for weight, value in zip(weights, values))

    figures = np.array([figure([value_of(statistic, cell) for cell in family]) for family in families])
    p, estimate = len(figures), figures.mean()
    variance, df, defined = 0.0, 0, True
    for family in families:
        values = [value_of(statistic, cell) for cell in family]
        units = [units_of(cell) for cell in family]
        together = all(one == units[0] for one in units)
        groups = [range(len(family))] if together else [[rung] for rung in range(len(family))]
        for group in groups:
            left_out = []
            for out in sorted(units[group[0]]):
                row = [value_of(statistic, cell, out) if i in group else values[i] for i, cell in enumerate(family)]
                left_out.append(figure(row) / p)
            k = len(left_out)
            defined &= bool(np.isfinite(left_out).all()) and k > 0
            if defined:
                variance += (k - 1) / k * ((left_out - np.mean(left_out)) ** 2).sum()
                df += k - 1
    within = (math.sqrt(variance), df) if defined and df > 0 else None
    if p == 1:
        return estimate, within, "within"
    between = (figures.std(ddof=1) / math.sqrt(p), p - 1)
    width = lambda one: stats.t.ppf(0.975, one[1]) * one[0]
    if within and width(within) > width(between):
        return estimate, within, "within"
    return estimate, between, "between"


def check_cells(check, cells, found):
    for name, (statistic, of_place) in found.items():
        rows = cells[cells["measure"] == name]
        for row in rows.itertuples():
            cell = of_place[row.arm, row.pretraining_seed, row.step]
            check("cells", name.split(".")[0], row.value, value_of(statistic, cell))


def check_summary(check, summary, found, bounds):
    """Rows of rungs, of early and late, of their difference, and of arms, where the interval is Student's t."""
    for row in summary.itertuples():
        if row.measure not in found or row.kind not in [*LEVELS, "late - early", "arm - default"]:
            continue
        statistic, of_place = found[row.measure]
        steps = sorted({step for arm, _, step in of_place if arm == "default"})
        early = [step for step in steps if step <= bounds[0]]
        late = [step for step in steps if step >= bounds[1]]
        rungs = {
            "rung": [(row.arm, row.step, 1.0)],
            "early": [("default", step, 1 / len(early)) for step in early],
            "late": [("default", step, 1 / len(late)) for step in late],
            "arm - default": [(row.arm, row.step, 1.0), ("default", row.step, -1.0)],
        }
        if row.kind == "late - early":
            chosen = rungs["late"] + [(arm, step, -weight) for arm, step, weight in rungs["early"]]
        else:
            chosen = rungs[row.kind]
        seeds = sorted({seed for _, seed, _ in of_place})
        families = [[of_place.get((arm, seed, step)) for arm, step, _ in chosen] for seed in seeds]
        families = [f for f in families if None not in f and all(np.isfinite(value_of(statistic, cell)) for cell in f)]
        estimate, spread, source = interval(statistic, families, [weight for *_, weight in chosen])
        check("summary", "estimate", row.estimate, estimate)
        check("summary", "n_pretraining", row.n_pretraining, len(families))
        # The verdict's own contrast jackknifes ratios of sums, and is checked by its estimate alone.
        if row.method not in ["seed-t", "within-t"] or (row.measure, row.kind) == ("ood_path_variance", "late - early"):
            continue
        se, df = spread
        half = stats.t.ppf(0.975, df) * se
        check("summary", "standard_error", row.standard_error, se)
        check("summary", "df", row.df, df)
        check("summary", "width_from", float(row.width_from == source), 1.0)
        if not row.beyond_range:
            check("summary", "lower", row.lower, estimate - half, 1e-8)
            check("summary", "upper", row.upper, estimate + half, 1e-8)
        if row.kind not in LEVELS and se > 0:
            check("summary", "p", row.p, 2 * stats.t.sf(abs(estimate) / se, df), 1e-8)


def holm(p):
    order = np.argsort(p)
    stepped = np.maximum.accumulate([min(1.0, (len(p) - i) * p[j]) for i, j in enumerate(order)])
    return np.asarray(stepped)[np.argsort(order)]


def check_multiplicity(check, summary):
    with_p = summary[summary["p"].notna()]
    for _, rows in with_p.groupby("kind"):
        check("summary", "p_bh", rows["p_bh"], stats.false_discovery_control(rows["p"].to_numpy(float), method="bh"))
    primary = with_p[(with_p["kind"] == "late - early") & (with_p["arm"] == "default") & with_p["measure"].isin(PRIMARY)]
    if len(primary):
        check("summary", "p_adjusted", primary["p_adjusted"], holm(primary["p"].to_numpy(float)))


def default_bounds(runs, pairs, arguments):
    if len(arguments) == 2:
        return int(arguments[0]), int(arguments[1])
    frames = [frame for frame in (runs, pairs) if not frame.empty]
    steps = sorted({step for frame in frames for step in frame[frame["arm"] == "default"]["step"]})
    if len(steps) < 2:
        return 0, 2**64 - 1
    return steps[len(steps) // 2 - 1], steps[max(len(steps) - 2, len(steps) // 2)]


def main(folder, *bounds):
    folder, check = pathlib.Path(folder), Ledger()
    names = "runs pairs paths soups selection interventions items spreads correlations cells summary".split()
    runs, pairs, paths, soups, selection, interventions, items, spreads, correlations, cells, summary = (read(folder, name) for name in names)
    known = answers(folder) if (folder / "predictions").exists() else {}
    check_runs(check, runs, known)
    if not pairs.empty:
        check_pairs(check, pairs, known)
        check_profiles(check, pairs, interventions)
    if not paths.empty:
        check_barriers(check, pairs, paths)
    if not soups.empty:
        check_soups(check, soups, runs)
    if not selection.empty:
        check_selection(check, selection, runs)
    if not spreads.empty:
        check_spreads(check, spreads, runs, items)
    check_correlations(check, correlations, runs)
    found = measures(runs, pairs, interventions)
    check_cells(check, cells, found)
    check_summary(check, summary, found, default_bounds(runs, pairs, bounds))
    check_multiplicity(check, summary)
    return check.show()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 4):
        sys.exit("usage: tables.py FOLDER [EARLY_UNTIL LATE_FROM]")
    sys.exit(main(*sys.argv[1:]) > 0)
