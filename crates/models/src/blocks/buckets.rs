//! Which distances share a bias (Raffel et al. 2020, section 2.1): near ones each have their own, farther ones share
//! theirs with more and more others, and beyond the largest all are alike.

use kernels::attention::Bias;

/// How distances fall into buckets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets {
    /// Number of buckets.
    pub(crate) count: usize,
    /// Distances from this one on are alike.
    pub(crate) farthest: usize,
    /// Whether half of the buckets are for keys behind the query. Else those are not seen, and all are for keys before.
    pub(crate) both_ways: bool,
}

impl Buckets {
    /// The bucket of a key that is so many places behind its query, before it if negative.
    pub(crate) fn of(&self, distance: isize) -> usize {
        let size = distance.unsigned_abs();
        let (first, count, size) = match (self.both_ways, distance > 0) {
            (true, false) => (0, self.count / 2, size),
            (true, true) => (self.count / 2, self.count / 2, size),
            (false, false) => (0, self.count, size),
            (false, true) => (0, self.count, 0),
        };
        let exact = count / 2;
        if size < exact {
            return first + size;
        }
        // In `f32` as PyTorch computes it, so that the same distances fall on either side of a limit.
        let logarithm = f64::from(size as f32 / exact as f32).ln() as f32;
        let range = (self.farthest as f64 / exact as f64).ln() as f32;
        let beyond = (logarithm / range * (count - exact) as f32) as usize;
        first + (exact + beyond).min(count - 1)
    }

    /// Distances between tokens of a sequence of at most `longest`, with their place in a [`Bias`] and their bucket.
    fn iter(self, longest: usize) -> impl Iterator<Item = (usize, usize)> {
        let width = Bias::<&[f32]>::width(longest);
        (0..width).map(move |place| (place, self.of(place as isize - (longest as isize - 1))))
    }

    /// Writes the bias `[heads, 2 longest - 1]` of a table `[count, heads]`.
    pub(crate) fn spread(self, table: &[f32], longest: usize, bias: &mut [f32]) {
        let (heads, width) = (table.len() / self.count, Bias::<&[f32]>::width(longest));
        for (place, bucket) in self.iter(longest) {
            for head in 0..heads {
                bias[head * width + place] = table[bucket * heads + head];
            }
        }
    }

    /// Adds the gradient of a bias to that of its table.
    pub(crate) fn collect(self, d_bias: &[f32], longest: usize, d_table: &mut [f32]) {
        let (heads, width) = (d_table.len() / self.count, Bias::<&[f32]>::width(longest));
        for (place, bucket) in self.iter(longest) {
            for head in 0..heads {
                d_table[bucket * heads + head] += d_bias[head * width + place];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the bucket changes, with the new one: from `T5Attention._relative_position_bucket` for distances of -300 to
    /// 300. At the powers of two in them, a logarithm rounded otherwise would fall on the other side.
    #[test]
    fn buckets_are_those_of_transformers() {
        for (count, farthest, both_ways, changes) in CHANGES {
            let buckets = Buckets { count, farthest, both_ways };
            let mut found = Vec::new();
            for distance in -300..=300 {
                let bucket = buckets.of(distance);
                if found.last().is_none_or(|&(_, last)| last != bucket) {
                    found.push((distance, bucket));
                }
            }
            assert_eq!(found, changes, "{buckets:?}");
        }
    }

    type Changes = (usize, usize, bool, &'static [(isize, usize)]);

    #[rustfmt::skip]
    const CHANGES: [Changes; 6] = [
        (32, 128, true, &[
            (-300, 15), (-90, 14), (-63, 13), (-45, 12), (-31, 11), (-22, 10), (-15, 9), (-11, 8), (-7, 7),
            (-6, 6), (-5, 5), (-4, 4), (-3, 3), (-2, 2), (-1, 1), (0, 0), (1, 17), (2, 18), (3, 19),
            (4, 20), (5, 21), (6, 22), (7, 23), (8, 24), (12, 25), (16, 26), (23, 27), (32, 28), (46, 29),
            (64, 30), (91, 31),
        ]),
        (32, 128, false, &[
            (-300, 31), (-112, 30), (-98, 29), (-86, 28), (-76, 27), (-66, 26), (-58, 25), (-51, 24),
            (-45, 23), (-39, 22), (-34, 21), (-30, 20), (-26, 19), (-23, 18), (-20, 17), (-18, 16),
            (-15, 15), (-14, 14), (-13, 13), (-12, 12), (-11, 11), (-10, 10), (-9, 9), (-8, 8), (-7, 7),
            (-6, 6), (-5, 5), (-4, 4), (-3, 3), (-2, 2), (-1, 1), (0, 0),
        ]),
        (8, 20, true, &[
            (-300, 3), (-6, 2), (-1, 1), (0, 0), (1, 5), (2, 6), (7, 7),
        ]),
        (8, 20, false, &[
            (-300, 7), (-13, 6), (-8, 5), (-5, 4), (-3, 3), (-2, 2), (-1, 1), (0, 0),
        ]),
        (64, 256, true, &[
            (-300, 31), (-215, 30), (-181, 29), (-152, 28), (-127, 27), (-107, 26), (-90, 25), (-76, 24),
            (-63, 23), (-53, 22), (-45, 21), (-38, 20), (-31, 19), (-26, 18), (-22, 17), (-19, 16),
            (-15, 15), (-14, 14), (-13, 13), (-12, 12), (-11, 11), (-10, 10), (-9, 9), (-8, 8), (-7, 7),
            (-6, 6), (-5, 5), (-4, 4), (-3, 3), (-2, 2), (-1, 1), (0, 0), (1, 33), (2, 34), (3, 35),
            (4, 36), (5, 37), (6, 38), (7, 39), (8, 40), (9, 41), (10, 42), (11, 43), (12, 44), (13, 45),
            (14, 46), (15, 47), (16, 48), (20, 49), (23, 50), (27, 51), (32, 52), (39, 53), (46, 54),
            (54, 55), (64, 56), (77, 57), (91, 58), (108, 59), (128, 60), (153, 61), (182, 62), (216, 63),
        ]),
        (5, 9, true, &[
            (-300, 1), (0, 0), (1, 3),
        ]),
    ];

    #[test]
    fn a_table_is_spread_and_collected() {
        let buckets = Buckets { count: 4, farthest: 9, both_ways: true };
        // Before, at the same place and far before, behind, far behind: for two heads.
        let table = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5];
        let mut bias = [9.0; 10];
        buckets.spread(&table, 3, &mut bias);
        assert_eq!(bias, [1.0, 1.0, 0.0, 3.0, 3.0, 1.5, 1.5, 0.5, 3.5, 3.5]);
        let mut d_table = [10.0; 8];
        buckets.collect(&[1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 0.0, 0.0, 0.0, 1.0], 3, &mut d_table);
        assert_eq!(d_table, [13.0, 10.0, 13.0, 10.0, 10.0, 10.0, 19.0, 11.0]);
    }
}
