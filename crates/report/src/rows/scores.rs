//! Tables of runs of which scores are known, and of how a study was made.

tables::rows! {
    /// A row for each example of a split of which only the number of right runs is known, as published lists give it.
    pub struct ItemCount in "items" {
        /// Arm of the study.
        pub arm: String,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Pretraining steps of the checkpoint; 0 also where nobody knows them.
        pub step: u64,
        /// The split.
        pub split: String,
        /// The example's id within its split.
        pub example: String,
        /// Runs that are right on it.
        pub right: u64,
        /// Runs there are.
        pub runs: u64,
    }
}

tables::rows! {
    /// A row for each checkpoint, split and case: how accuracy varies over the fine-tuning runs of this one checkpoint.
    pub struct Spread in "spreads" {
        /// Arm of the study.
        pub arm: String,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Pretraining steps of the checkpoint; 0 also where nobody knows them.
        pub step: u64,
        /// The split.
        pub split: String,
        /// The case within the split; empty for the whole split.
        pub case: String,
        /// Examples.
        pub n: u64,
        /// Fine-tuning runs.
        pub runs: u64,
        /// Mean accuracy, 0 to 1.
        pub mean: f64,
        /// Lowest accuracy.
        pub minimum: f64,
        /// Highest accuracy.
        pub maximum: f64,
        /// Standard deviation of the accuracy over runs (divisor n - 1).
        pub sd: f64,
        /// Lower end of its 95 % interval by chi-square, exact for normal accuracies.
        pub sd_lower: f64,
        /// Upper end of that interval.
        pub sd_upper: f64,
        /// Lower end of its 95 % BCa bootstrap interval, which assumes no shape; from 10 runs on.
        pub sd_bca_lower: Option<f64>,
        /// Upper end of that interval.
        pub sd_bca_upper: Option<f64>,
        /// Examples of which the number of right runs is known (table `items`); the columns that follow come from them.
        pub items: Option<u64>,
        /// Examples on which every run is right.
        pub right_in_all: Option<u64>,
        /// Examples on which no run is right.
        pub right_in_none: Option<u64>,
        /// Share of examples on which exactly one of two runs is right, mean over pairs of runs: twice the path variance.
        pub disagreement: Option<f64>,
        /// Pooled error consistency: sum (o - e) / sum (1 - e) over pairs, o observed, e that of independent runs.
        pub shared: Option<f64>,
        /// Variance of the accuracy over runs, less what runs that differ by nothing but chance on each example would have;
        /// negative where nothing is left.
        pub net_variance: Option<f64>,
    }
}

tables::rows! {
    /// A row for each checkpoint with at least 10 runs and each two of its splits and cases: do two scores of a run go
    /// together?
    pub struct Correlation in "correlations" {
        /// Arm of the study.
        pub arm: String,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Pretraining steps of the checkpoint; 0 also where nobody knows them.
        pub step: u64,
        /// Split of the one score.
        pub split_x: String,
        /// Its case; empty for the whole split.
        pub case_x: String,
        /// Split of the other score.
        pub split_y: String,
        /// Its case; empty for the whole split.
        pub case_y: String,
        /// Runs that have both.
        pub runs: u64,
        /// Pearson's correlation, -1 to 1; absent where a score does not vary.
        pub pearson: Option<f64>,
        /// Lower end of its 95 % interval (Fisher).
        pub pearson_lower: Option<f64>,
        /// Upper end of that interval.
        pub pearson_upper: Option<f64>,
        /// Spearman's rank correlation, -1 to 1.
        pub spearman: Option<f64>,
        /// Lower end of its 95 % interval (Bonett and Wright).
        pub spearman_lower: Option<f64>,
        /// Upper end of that interval.
        pub spearman_upper: Option<f64>,
        /// Standard deviation of the other score over that of the one.
        pub sd_ratio: Option<f64>,
        /// Lower end of its 95 % interval (Pitman and Morgan, for paired scores).
        pub sd_ratio_lower: Option<f64>,
        /// Upper end of that interval.
        pub sd_ratio_upper: Option<f64>,
    }
}

tables::rows! {
    /// A row for each fact about how the study was made: what its methods paragraph is written from.
    pub struct Fact in "facts" {
        /// What the fact is about: `import`, `model`, `pretraining`, `data`, `fine-tuning`, `paths`, `soups` or `programs`.
        pub subject: String,
        /// Name of the fact.
        pub name: String,
        /// Its value; several values are separated by `, `.
        pub value: String,
    }
}
