//! How queries, keys and values lie in memory, and which of them meet.

/// Where the rows of queries, keys or values begin in the buffer that holds them all, and how far apart they are.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// Index of the first value.
    pub offset: usize,
    /// Values from one row to the next.
    pub stride: usize,
    /// Values from one head to the next.
    pub head: usize,
}

/// How heads lie in a buffer of queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Number of heads of queries.
    pub count: usize,
    /// Number of heads of keys and values; divides `count`.
    pub shared: usize,
    /// Values per head.
    pub size: usize,
    /// What scores are multiplied by before the softmax.
    pub scale: f32,
    /// Which keys a query sees.
    pub sight: Sight,
    /// Queries.
    pub queries: Rows,
    /// Keys.
    pub keys: Rows,
    /// Values.
    pub values: Rows,
}

/// Which keys of its sequence a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All of them.
    All,
    /// Those up to its own place. Every token must then be a query.
    Past,
}

impl Heads {
    /// Rows of query, key and value side by side, `[tokens, 3 count size]`: one product makes them.
    #[must_use]
    pub fn fused(count: usize, size: usize) -> Self {
        Self::grouped(count, count, size)
    }

    /// Rows of `count` queries, `shared` keys and `shared` values side by side: `[tokens, (count + 2 shared) size]`.
    #[must_use]
    pub fn grouped(count: usize, shared: usize, size: usize) -> Self {
        let stride = (count + 2 * shared) * size;
        let rows = |offset| Rows { offset, stride, head: size };
        let (keys, values) = (rows(count * size), rows((count + shared) * size));
        Self { count, shared, size, scale: scale(size), sight: Sight::All, queries: rows(0), keys, values }
    }

    /// Query, key and value of each head side by side, head after head: `[tokens, count 3 size]`.
    #[must_use]
    pub fn interleaved(count: usize, size: usize) -> Self {
        let rows = |offset| Rows { offset, stride: 3 * count * size, head: 3 * size };
        let (keys, values) = (rows(size), rows(2 * size));
        Self {
            count,
            shared: count,
            size,
            scale: scale(size),
            sight: Sight::All,
            queries: rows(0),
            keys,
            values,
        }
    }

    /// `queries` rows `[queries, count size]`, then rows of key and value side by side, `[tokens, 2 count size]`.
    #[must_use]
    pub fn split(count: usize, size: usize, queries: usize) -> Self {
        let width = count * size;
        let rows = |offset| Rows { offset, stride: 2 * width, head: size };
        Self {
            count,
            shared: count,
            size,
            scale: scale(size),
            sight: Sight::All,
            queries: Rows { offset: 0, stride: width, head: size },
            keys: rows(queries * width),
            values: rows(queries * width + width),
        }
    }

    /// The head of keys and values that a head of queries looks at, and whether it is the first to do so.
    pub(super) fn of_keys(&self, head: usize) -> (usize, bool) {
        let group = self.count / self.shared;
        (head / group, head.is_multiple_of(group))
    }
}

fn scale(size: usize) -> f32 {
    1.0 / (size as f32).sqrt()
}

/// Where each sequence begins, with the end as a last entry.
#[derive(Clone, Copy, Debug)]
pub struct Spans<'a> {
    /// Among the query rows.
    pub queries: &'a [u32],
    /// Among the key and value rows.
    pub keys: &'a [u32],
}

impl Spans<'_> {
    /// First row and number of rows of each sequence: queries, then keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        self.queries.windows(2).zip(self.keys.windows(2)).map(|(queries, keys)| {
            let [q, q_end, k, k_end] = [queries[0], queries[1], keys[0], keys[1]].map(|at| at as usize);
            (q, q_end - q, k, k_end - k)
        })
    }

    /// Length of the buffer of probabilities that [`forward`] fills and [`backward`] reads.
    #[must_use]
    pub fn probabilities(&self, heads: usize) -> usize {
        self.iter().map(|(_, m, _, n)| heads * m * padded(n)).sum()
    }
}

/// Rows of probabilities are padded with zeros to whole vectors.
pub(super) fn padded(n: usize) -> usize {
    n.next_multiple_of(8)
}
