//! Every block's backward pass against central differences of its forward pass, parameter by parameter.

use kernels::attention::{Bias, Heads, Sight};
use kernels::glu::Gate;
use random::Stream;
use weights::Layout;

use super::attention::{self, Memory, Positions, Projections, Reads, Wanted};
use super::buckets::Buckets;
use super::classifier::Hidden;
use super::map::Form;
use super::*;
use crate::Tokens;

const H: usize = 8;
const STARTS: [u32; 3] = [0, 3, 7];
const N: usize = 7;
const WANTED: Wanted<'static> = Wanted { rows: &[1, 4, 6], starts: &[0, 1, 3] };
const DROPOUT: Option<Dropout> = Some(Dropout { key: 5 });
const DROP: Site = Site { number: 3, probability: 0.3 };

fn normals(purpose: &str, n: usize, scale: f64) -> Vec<f32> {
    let mut stream = Stream::new(1, purpose);
    (0..n).map(|_| (scale * stream.normal()) as f32).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn pass(values: &[f32]) -> Pass<'_> {
    Pass { values, dropout: DROPOUT, mode: Mode::Training }
}

/// `[n, width]` in a buffer.
fn buffer(values: &[f32], width: usize) -> Buffer {
    let mut buffer = Buffer::default();
    buffer.room(values.len() / width, width).copy_from_slice(values);
    buffer
}

/// A block as a function of its parameters and of `n_read` values. `run` yields the output, and, given its gradient, adds that of
/// the parameters and returns that of what was read.
fn check(
    layout: &Layout,
    n_read: usize,
    run: impl FnMut(&[f32], &[f32], Option<&[f32]>, &mut [f32]) -> (Vec<f32>, Vec<f32>),
) {
    check_by(1e-3, layout, n_read, run);
}

/// As [`check`], with differences over this step: over a shorter one fewer rectifiers turn.
fn check_by(
    by: f32,
    layout: &Layout,
    n_read: usize,
    mut run: impl FnMut(&[f32], &[f32], Option<&[f32]>, &mut [f32]) -> (Vec<f32>, Vec<f32>),
) {
    let (values, x) = (normals("values", layout.len(), 0.5), normals("read", n_read, 1.0));
    let nothing = &mut vec![0.0; layout.len()];
    let n_out = run(&values, &x, None, nothing).0.len();
    let dy = normals("gradient", n_out, 1.0);
    let mut gradient = vec![0.0; layout.len()];
    let (_, dx) = run(&values, &x, Some(&dy), &mut gradient);
    let mut compare = |name: &str, found: &[f32], place: Option<std::ops::Range<usize>>| {
        let along = normals(name, found.len(), 1.0);
        let mut loss = |step: f32| {
            let (mut values, mut x) = (values.clone(), x.clone());
            let moved = place.clone().map_or(&mut x[..], |place| &mut values[place]);
            moved.iter_mut().zip(&along).for_each(|(value, along)| *value += step * along);
            dot(&run(&values, &x, None, nothing).0, &dy)
        };
        let expected = (loss(by) - loss(-by)) / (2.0 * f64::from(by));
        let (size, slope) = (dot(found, found).sqrt(), dot(found, &along));
        let error = (slope - expected).abs();
        assert!(error < 4e-3 * size + 2e-3, "{name}: {slope} is not {expected}, of a gradient of {size}");
    };
    for entry in layout.entries() {
        compare(&entry.name, &gradient[entry.range()], Some(entry.range()));
    }
    if n_read > 0 {
        compare("what is read", &dx, None);
    }
}

#[test]
fn maps() {
    for form in [Form::LINEAR, Form::AFFINE, Form { has_bias: true, is_transposed: true }] {
        let layout = &mut Layout::default();
        let map = Map::push(layout, "map", 5, H, form);
        check(layout, N * H, |values, x, dy, gradient| {
            let (mut y, mut dx) = (vec![0.0; N * 5], vec![0.0; N * H]);
            map.forward(values, x, &mut y);
            let into = kernels::matmul::Into::Overwrite;
            dy.into_iter().for_each(|dy| map.backward(values, x, dy, (&mut dx, into), gradient));
            (y, dx)
        });
    }
}

/// Parts of a map compute the columns of the whole.
#[test]
fn a_map_falls_into_parts() {
    let layout = &mut Layout::default();
    let names = [("a".to_owned(), 3), ("b".to_owned(), 4)];
    let whole = Map::push_joined(layout, &names, H, Form::AFFINE);
    let (values, x) = (normals("values", layout.len(), 0.5), normals("read", N * H, 1.0));
    let mut all = vec![0.0; N * 7];
    whole.forward(&values, &x, &mut all);
    let mut from = 0;
    for part in whole.split(3) {
        let mut y = vec![0.0; N * part.outputs];
        part.forward(&values, &x, &mut y);
        for (row, all) in y.chunks(part.outputs).zip(all.chunks(7)) {
            let error = row.iter().zip(&all[from..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error < 1e-5, "{row:?} is not in {all:?}");
        }
        from += part.outputs;
    }
}

#[test]
fn norms() {
    for has_shift in [true, false] {
        let layout = &mut Layout::default();
        let norm = Norm::push(layout, "norm", H, has_shift, 1e-5);
        check(layout, N * H, |values, x, dy, gradient| {
            let (mut y, mut kept) = (vec![0.0; N * H], norm::Kept::default());
            norm.forward(values, x, &mut kept, &mut y);
            let mut dx = dy.unwrap_or_default().to_vec();
            dy.into_iter().for_each(|_| norm.backward(values, &mut dx, &kept, gradient));
            (y, dx)
        });
    }
}

fn residual(layout: &mut Layout, inputs: usize, place: Place, has_shift: bool) -> Residual {
    let output = Map::push(layout, "output", H, inputs, Form { has_bias: has_shift, is_transposed: false });
    Residual { output, norm: Norm::push(layout, "norm", H, has_shift, 1e-5), place, drop: DROP }
}

const PLACES: [Place; 3] = [Place::Before, Place::OfOutput, Place::Behind];

#[test]
fn feed_forward_blocks_with_norms_in_each_place() {
    for activation in [
        Activation::Relu,
        Activation::Gelu,
        Activation::GeluNew,
        Activation::Gated(Gate::Silu),
        Activation::Gated(Gate::GeluNew),
    ] {
        for (place, has_shift) in PLACES.into_iter().flat_map(|place| [(place, true), (place, false)]) {
            let layout = &mut Layout::default();
            let outputs = if let Activation::Gated(_) = activation { 12 } else { 6 };
            let inner = Map::push(layout, "inner", outputs, H, Form::AFFINE);
            let drop = Site { number: 4, probability: 0.2 };
            let block = FeedForward { inner, width: 6, activation, drop };
            let residual = residual(layout, 6, place, has_shift);
            let by = if let Activation::Relu = activation { 1e-4 } else { 1e-3 };
            check_by(by, layout, N * H, |values, x, dy, gradient| {
                let (mut passing, mut flow) = (Passing::default(), Gradients::default());
                let (mut ends, mut kept) = (residual::Kept::default(), feed_forward::Kept::default());
                passing.stream = buffer(x, H);
                residual.begin(pass(values), &mut passing, &mut ends);
                block.forward(pass(values), &ends.input, None, &mut kept);
                residual.end(pass(values), &kept.activated, None, &mut passing, &mut ends);
                let y = passing.stream.get().to_vec();
                flow.stream = buffer(dy.unwrap_or(&y), H);
                let back = &mut Backward { passing: &mut passing, flow: &mut flow, gradient };
                if dy.is_some() {
                    residual.end_backward(pass(values), &kept.activated, None, &ends, back);
                    block.backward(pass(values), &ends.input, None, &kept, &residual, back);
                    residual.begin_backward(pass(values), &ends, back);
                }
                (y, flow.stream.get().to_vec())
            });
        }
    }
}

/// An attention with its ends: of rows `[n, H]`, behind which there may be a memory `[m, H]`.
fn check_attention(
    layout: &Layout,
    block: &Attention,
    residual: &Residual,
    wanted: Option<Wanted<'_>>,
    memory: Option<&[u32]>,
) {
    let rows = wanted.map(|wanted| wanted.rows);
    let n = if memory.is_some() { rows.map_or(N, <[u32]>::len) } else { N };
    let m = memory.map_or(0, |starts| starts[2] as usize);
    check(layout, (n + m) * H, |values, read, dy, gradient| {
        let (x, states) = read.split_at(n * H);
        let (mut passing, mut flow) = (Passing::default(), Gradients::default());
        let (mut ends, mut kept) = (residual::Kept::default(), attention::Kept::default());
        passing.stream = buffer(x, H);
        passing.longest = 4;
        passing.angles.reach(&[1.0, 0.1], 4);
        let width = Bias::<&[f32]>::width(4);
        passing.bias.room(2, width).copy_from_slice(&normals("bias", 2 * width, 1.0));
        flow.bias.room(2, width).fill(0.0);
        flow.memory.room(m, H).fill(0.0);
        residual.begin(pass(values), &mut passing, &mut ends);
        let starts = match (memory, wanted) {
            (Some(_), Some(wanted)) => wanted.starts,
            _ => &STARTS,
        };
        let memory = memory.map(|starts| Memory { states, starts });
        let input = ends.input.get().to_vec();
        let reads = Reads { x: &input, starts, wanted, memory };
        block.forward(pass(values), reads, &mut passing, &mut kept);
        if let (Some(rows), None) = (rows, memory) {
            residual.narrow(rows, &mut passing, &ends);
        }
        residual.end(pass(values), &kept.context, rows, &mut passing, &mut ends);
        let y = passing.stream.get().to_vec();
        flow.stream = buffer(dy.unwrap_or(&y), H);
        if dy.is_some() {
            let back = &mut Backward { passing: &mut passing, flow: &mut flow, gradient };
            residual.end_backward(pass(values), &kept.context, rows, &ends, back);
            block.backward(pass(values), reads, &kept, residual, back);
            residual.begin_backward(pass(values), &ends, back);
        }
        (y, [flow.stream.get(), flow.memory.get()].concat())
    });
}

#[test]
fn attention_to_the_same_rows() {
    for (sight, positions, shared, has_norms) in [
        (Sight::All, Positions::None, 2, false),
        (Sight::All, Positions::Distances, 2, false),
        (Sight::Past, Positions::None, 2, false),
        (Sight::Past, Positions::Rotary, 1, true),
        (Sight::Past, Positions::Distances, 2, false),
    ] {
        for (place, wanted) in PLACES.into_iter().flat_map(|place| [(place, None), (place, Some(WANTED))]) {
            let layout = &mut Layout::default();
            let parts =
                [("q", 8), ("k", 4 * shared), ("v", 4 * shared)].map(|(n, width)| (n.to_owned(), width));
            let projections = Projections::Own(Map::push_joined(layout, &parts, H, Form::AFFINE));
            let norms = has_norms.then(|| {
                [8, 4 * shared].map(|width| Norm::push(layout, &format!("norm.{width}"), width, false, 1e-5))
            });
            let heads = Heads { sight, ..Heads::grouped(2, shared, 4) };
            let block = Attention { projections, norms, heads, positions, drop: DROP };
            let residual = residual(layout, 8, place, true);
            check_attention(layout, &block, &residual, wanted, None);
        }
    }
}

#[test]
fn attention_across() {
    for (place, wanted) in PLACES.into_iter().flat_map(|place| [(place, None), (place, Some(WANTED))]) {
        let layout = &mut Layout::default();
        let queries = Map::push(layout, "q", 8, H, Form::AFFINE);
        let parts = ["k", "v"].map(|name| (name.to_owned(), 8));
        let memory = Map::push_joined(layout, &parts, H, Form::AFFINE);
        let projections = Projections::Across { queries, memory };
        let heads = Heads::fused(2, 4);
        let block = Attention { projections, norms: None, heads, positions: Positions::None, drop: DROP };
        let residual = residual(layout, 8, place, false);
        check_attention(layout, &block, &residual, wanted, Some(&[0, 5, 6]));
    }
}

/// The bias of an attention is a function of its table, and its gradient is collected there.
#[test]
fn biases_by_distance() {
    let layout = &mut Layout::default();
    let table = layout.push("table", &[6, 2]);
    let buckets = Buckets { count: 6, farthest: 4, both_ways: true };
    let width = Bias::<&[f32]>::width(5);
    check(layout, 0, |values, _, dy, gradient| {
        let mut bias = vec![0.0; 2 * width];
        buckets.spread(&values[table.clone()], 5, &mut bias);
        dy.into_iter().for_each(|dy| buckets.collect(dy, 5, &mut gradient[table.clone()]));
        (bias, Vec::new())
    });
}

#[test]
fn embeddings() {
    let tokens = Tokens { ids: &[1, 5, 1, 2, 0, 5, 3], types: &[0, 0, 1, 1, 0, 1, 0], starts: &STARTS };
    for (n_positions, n_segments, has_norm) in [(0, 0, false), (6, 0, false), (6, 2, true)] {
        let layout = &mut Layout::default();
        let words = layout.push("words", &[6, H]);
        let mut embedding = Embedding::of_words(words, H, DROP);
        if n_positions > 0 {
            embedding.positions = layout.push("positions", &[n_positions, H]);
            // Word 1 is there twice.
            embedding.numbering = kernels::embedding::Positions::Behind(1);
            let end = embedding.positions.end;
            embedding.segments = if n_segments > 0 { layout.push("segments", &[2, H]) } else { end..end };
        }
        embedding.norm = has_norm.then(|| Norm::push(layout, "norm", H, true, 1e-5));
        check(layout, 0, |values, _, dy, gradient| {
            let (mut stream, mut kept) = (Buffer::default(), norm::Kept::default());
            embedding.forward(pass(values), &tokens, &mut stream, &mut kept);
            if let Some(dy) = dy {
                embedding.backward(pass(values), &tokens, &mut dy.to_vec(), &kept, gradient);
            }
            (stream.get().to_vec(), Vec::new())
        });
    }
}

/// A head whose output is the loss, of which `dy` is the factor.
fn check_head(
    layout: &Layout,
    mut run: impl FnMut(Pass<'_>, &mut Buffer, f32, &mut Backward<'_>) -> crate::Tally,
) {
    check(layout, 4 * H, |values, x, dy, gradient| {
        let (mut passing, mut flow) = (Passing::default(), Gradients::default());
        let back = &mut Backward { passing: &mut passing, flow: &mut flow, gradient };
        let scale = dy.map_or(1.0, |dy| dy[0]);
        let tally = run(pass(values), &mut buffer(x, H), scale, back);
        (vec![tally.loss_sum as f32], flow.stream.get().to_vec())
    });
}

#[test]
fn language_heads() {
    for (has_transform, scale) in [(true, 1.0), (false, 1.0), (false, 0.5)] {
        let layout = &mut Layout::default();
        let words = layout.push("words", &[11, H]);
        let bias = if has_transform { layout.push("bias", &[11]) } else { 0..0 };
        let transform = has_transform.then(|| {
            (Map::push(layout, "map", H, H, Form::AFFINE), Norm::push(layout, "norm", H, true, 1e-5))
        });
        let head = LanguageHead { transform, scale, decoder: Map::tied(words, bias, H) };
        check_head(layout, |pass, states, scale, back| {
            let aim = Aim { labels: &[3, 0, 10, 3], scale };
            let kept = &mut language_head::Kept::default();
            let before = states.get().to_vec();
            let losses = head.losses(pass, states, aim.labels, kept);
            states.get_mut().copy_from_slice(&before);
            let tally = head.gradient(pass, states, aim, kept, back);
            assert_eq!(losses, tally);
            tally
        });
    }
}

#[test]
fn classifiers() {
    for (rectifies, classes) in [(None, 3), (Some(false), 3), (Some(true), 3), (Some(false), 1)] {
        let layout = &mut Layout::default();
        let drop = [DROP, Site { number: 9, ..DROP }];
        let hidden = rectifies.map(|rectifies| {
            let map = Map::push(layout, "hidden", H, H, Form::AFFINE);
            Hidden { map, rectifies, drop }
        });
        let classifier = Classifier { hidden, output: Map::push(layout, "output", classes, H, Form::AFFINE) };
        let labels: &[u32] = if classes == 1 { &[1, 0] } else { &[2, 0, 1, 1] };
        check_head(layout, |pass, states, scale, back| {
            let kept = &mut classifier::Kept::default();
            classifier.gradient(pass, states, Aim { labels, scale }, kept, back)
        });
    }
}

#[test]
fn rows_are_kept_and_spread() {
    let mut rows = buffer(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
    rows.keep(&[0, 2]);
    assert_eq!((rows.rows(), rows.get()), (2, &[1.0, 2.0, 5.0, 6.0][..]));
    rows.spread(&[1, 3], 5);
    assert_eq!(rows.get(), [0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0]);
    let mut other = Buffer::default();
    other.swap(&mut rows);
    assert_eq!((other.rows(), other.width(), rows.rows()), (5, 2, 0));
}

#[test]
fn a_site_drops_the_same_units_of_chosen_rows() {
    assert!(Site::NONE.mask(DROPOUT, None).is_none() && DROP.mask(None, None).is_none());
    let apply = |rows: Option<&[u32]>, n: usize| {
        let mut values = vec![1.0; n * H];
        DROP.mask(DROPOUT, rows).expect("something is dropped").apply(&mut values, H);
        values
    };
    let (all, chosen) = (apply(None, N), apply(Some(WANTED.rows), 3));
    for (row, chosen) in WANTED.rows.iter().zip(chosen.chunks(H)) {
        assert_eq!(chosen, &all[*row as usize * H..][..H]);
    }
    assert!(all.contains(&0.0) && all.contains(&(1.0 / 0.7)));
}
