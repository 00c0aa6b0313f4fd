//! The whole way from manifests in a store to tables and a page.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use store::{Input, Manifest, Media, Output, Provenance, Recipe, Store};

use super::collate::{Manifests, collate, lineage, upstream};
use super::{Edition, Interval, Report, Study, StudyManifests};
use crate::rows::{EffectRow, LadderRow, MemberRow, PairRow, PathRow, PredictionRow, ScoreRow};

const STEPS: [u64; 3] = [0, 100, 900];

/// A store with a small study in it, and the manifests at its end.
struct Fabricated {
    store: Store,
    ends: Vec<Manifest>,
    _folder: tempfile::TempDir,
}

impl Fabricated {
    fn new(pretraining: u64, finetuning: u64, soups: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut study =
            Self { store: Store::open(folder.path()).unwrap(), ends: Vec::new(), _folder: folder };
        let kind = |share: f64| json!({"part": {"world": {"roles": {"disambiguating": share, "cue": 0.9, "seed": 0}}}});
        let usual =
            study.commit("prepare", kind(0.05), &[], &[("train", b"usual"), ("labels", b"[]")], json!({}));
        let other =
            study.commit("prepare", kind(0.0), &[], &[("train", b"other"), ("labels", b"[]")], json!({}));
        for seed in 0..pretraining {
            let ladder = study.ladder(seed);
            study.ends.push(ladder.clone());
            for (rung, &step) in STEPS.iter().enumerate() {
                study.group(&ladder, &usual, step, rung, finetuning, soups);
                if step != 100 {
                    study.group(&ladder, &other, step, 2 - rung, finetuning, false);
                }
            }
        }
        study
    }

    fn commit(
        &self,
        stage: &str,
        parameters: Value,
        inputs: &[(&str, Vec<Input>)],
        outputs: &[(&str, &[u8])],
        facts: Value,
    ) -> Manifest {
        let Value::Object(parameters) = parameters else { panic!("parameters are an object") };
        let Value::Object(facts) = facts else { panic!("facts are an object") };
        let inputs = inputs.iter().map(|(role, inputs)| ((*role).to_owned(), inputs.clone())).collect();
        let recipe = Recipe { stage: stage.into(), version: 1, parameters, inputs };
        let outputs: BTreeMap<String, Output> = outputs
            .iter()
            .map(|(role, bytes)| {
                self.store.put(bytes).unwrap();
                ((*role).to_owned(), Output::of(bytes, Media::Other))
            })
            .collect();
        let manifest =
            Manifest::new(recipe, outputs, facts.into_iter().collect(), Provenance::default()).unwrap();
        self.store.commit(&manifest).unwrap();
        manifest
    }

    fn ladder(&self, seed: u64) -> Manifest {
        let checkpoint = |step: u64| format!("checkpoint {seed} {step}").into_bytes();
        let rows: Vec<LadderRow> = STEPS
            .iter()
            .enumerate()
            .map(|(rung, &step)| LadderRow {
                step,
                tokens: step * 64,
                held_out_loss: [4.0, 2.5, 1.7][rung],
                held_out_accuracy: 0.5,
                learning_rate: 0.0,
                checkpoint: Output::of(&checkpoint(step), Media::Other).object.to_string(),
            })
            .collect();
        let table = LadderRow::write(&rows).unwrap();
        self.store.put(&table).unwrap();
        // Each rung is a result of its own, which the ladder lists.
        let rung = |step: u64| {
            let parameters = json!({"seed": seed, "world": "roles", "step": step});
            let rung =
                self.commit("pretrain-rung", parameters, &[], &[("model", &checkpoint(step))], json!({}));
            let output = rung.outputs["model"];
            (format!("step-{step}"), Output { from: Some(rung.key), ..output })
        };
        let mut outputs: BTreeMap<String, Output> = STEPS.map(rung).into();
        outputs.insert("ladder".into(), Output::of(&table, Media::Other));
        let Value::Object(parameters) = json!({"seed": seed, "world": "roles", "checkpoints": STEPS}) else {
            unreachable!("parameters are an object")
        };
        let recipe = Recipe { stage: "pretrain".into(), version: 1, parameters, inputs: BTreeMap::new() };
        let ladder = Manifest::new(recipe, outputs, BTreeMap::new(), Provenance::default()).unwrap();
        self.store.commit(&ladder).unwrap();
        ladder
    }

    /// Runs from one checkpoint on one task, evaluated and walked between. The later the rung, the more alike.
    fn group(
        &mut self,
        ladder: &Manifest,
        task: &Manifest,
        step: u64,
        rung: usize,
        finetuning: u64,
        soups: bool,
    ) {
        let labels = task.input_of("labels").unwrap();
        let mut models = Vec::new();
        for seed in 0..finetuning {
            let model = format!("model {} {} {step} {seed}", ladder.key, task.key).into_bytes();
            let inputs = [
                ("model", vec![ladder.input_of(&format!("step-{step}")).unwrap()]),
                ("task.train", vec![task.input_of("train").unwrap()]),
                ("task.labels", vec![labels]),
            ];
            let parameters = json!({"seed": seed, "head_seed": seed, "order_seed": seed, "learning_rate": 0.001, "steps": 9});
            let outputs: [(&str, &[u8]); 2] = [("model", &model), ("curve", b"curve")];
            let run = self.commit("finetune", parameters, &inputs, &outputs, json!({"failed": false}));
            let input = run.input_of("model").unwrap();
            let evaluation = self.evaluation(&input, &labels, rung, seed + 10 * step);
            self.ends.push(evaluation);
            models.push(input);
        }
        models.sort_by_key(|model| model.from.to_string());
        let (pairs, paths) = lines(&models, "linear", &[0.0, 0.5, 1.0], [0.2, 0.15, 0.02][rung]);
        let tables: [(&str, &[u8]); 2] = [("pairs", &pairs), ("paths", &paths)];
        let lines = self.commit(
            "interpolate",
            json!({"points": 3}),
            &[("model", models.clone())],
            &tables,
            json!({}),
        );
        self.ends.push(lines);
        if soups {
            let members: Vec<MemberRow> = models
                .iter()
                .map(|model| MemberRow {
                    run: model.from.to_string(),
                    score: None,
                    soup_score: None,
                    kept: true,
                })
                .collect();
            let members = MemberRow::write(&members).unwrap();
            let outputs: [(&str, &[u8]); 2] = [("model", b"soup"), ("members", &members)];
            let soup =
                self.commit("soup", json!({"method": "uniform"}), &[("model", models)], &outputs, json!({}));
            let evaluation = self.evaluation(&soup.input_of("model").unwrap(), &labels, rung, 7);
            self.ends.push(evaluation);
        }
    }

    /// A model that is wrong on one of the first examples (which one depends on its seed), the fewer the later.
    fn evaluation(&self, model: &Input, labels: &Input, rung: usize, seed: u64) -> Manifest {
        const N: u64 = 20;
        let mut predictions = Vec::new();
        let wrong = |i: u64| (i * 7 + seed * 3) % N < [9, 6, 2][rung];
        for split in ["id", "ood", "do.cue.base", "do.cue.done"] {
            for i in 0..N {
                let label = (i % 2) as u32;
                let prediction = if split != "id" && wrong(i) { 1 - label } else { label };
                let mut logits = vec![0.0_f32; 2];
                logits[prediction as usize] = 1.5;
                predictions.push(PredictionRow {
                    split: split.into(),
                    example: format!("example {i}"),
                    case: String::new(),
                    label,
                    prediction,
                    logits,
                    label_order: "no|yes".into(),
                });
            }
        }
        let accuracy = |split: &str| {
            let rows = predictions.iter().filter(|row| row.split == split);
            rows.clone().filter(|row| row.prediction == row.label).count() as f64 / rows.count() as f64
        };
        let scores: Vec<ScoreRow> = ["id", "ood"]
            .into_iter()
            .map(|split| ScoreRow {
                split: split.into(),
                case: String::new(),
                n: N,
                loss: 0.5,
                accuracy: accuracy(split),
                expected_error: 0.2,
                calibration_error: 0.1,
                mcc: 0.5,
                f1: 0.5,
                majority: 0.5,
            })
            .collect();
        let effect = 0.1 * (2 - rung) as f64 + 0.01 * (seed % 3) as f64;
        let effects = [EffectRow {
            intervention: "cue".into(),
            n: N,
            effect,
            flips: 0.0,
            rule_flips: 0.0,
            accuracy: 0.9,
        }];
        let (scores, effects, predictions) = (
            ScoreRow::write(&scores).unwrap(),
            EffectRow::write(&effects).unwrap(),
            PredictionRow::write(&predictions).unwrap(),
        );
        let outputs: [(&str, &[u8]); 3] =
            [("scores", &scores), ("effects", &effects), ("predictions", &predictions)];
        let inputs = [("model", vec![*model]), ("task.labels", vec![*labels])];
        self.commit("evaluate", json!({}), &inputs, &outputs, json!({}))
    }

    /// Tables by name, the page, and the terminal's text.
    fn report(&self, ends: Vec<Manifest>) -> (BTreeMap<String, Vec<u8>>, String, String) {
        let manifests: Manifests = upstream(&self.store, ends).unwrap();
        let runs = lineage::runs(&manifests);
        let collated = collate(&self.store, None, &manifests, &runs).unwrap();
        let report = Report {
            results: Vec::new(),
            inputs: None,
            tables: None,
            schema: false,
            out: None,
            early_until: Some(0),
            late_from: Some(900),
            interval: Interval::SeedT,
            margin: 0.01,
            title: "A fabricated study".into(),
            study: StudyManifests::default(),
        };
        let (study, tables) = Study::new(collated.observed, report.plan(), BTreeMap::new()).unwrap();
        let page = study.page(&Edition { key: Some("key"), tables: &::report::TABLES }).unwrap();
        let named = tables.into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
        (named.chain(collated.predictions).collect(), page, study.terminal())
    }
}

/// Paths between all pairs, which rise to a height in the middle.
fn lines(models: &[Input], path: &str, alphas: &[f64], height: f64) -> (Vec<u8>, Vec<u8>) {
    let (mut pairs, mut paths) = (Vec::new(), Vec::new());
    for (i, a) in models.iter().enumerate() {
        for b in &models[i + 1..] {
            for split in ["id", "ood"] {
                let (run_a, run_b) = (a.from.to_string(), b.from.to_string());
                for &alpha in alphas {
                    let loss = 0.3 + height * 4.0 * alpha * (1.0 - alpha);
                    paths.push(PathRow {
                        run_a: run_a.clone(),
                        run_b: run_b.clone(),
                        path: path.into(),
                        split: split.into(),
                        alpha,
                        n: 20,
                        loss,
                        accuracy: 1.0 - loss,
                        expected_error: loss,
                    });
                }
                pairs.push(PairRow {
                    run_a,
                    run_b,
                    path: path.into(),
                    split: split.into(),
                    points: alphas.len() as u64,
                    barrier: height,
                    barrier_over_mean: height,
                    barrier_over_max: height,
                    convexity_gap: height,
                    error_barrier: height + 0.001 * i as f64,
                    expected_error_barrier: height,
                    weight_distance: 5.0,
                });
            }
        }
    }
    (PairRow::write(&pairs).unwrap(), PathRow::write(&paths).unwrap())
}

#[test]
fn the_same_study_makes_the_same_bytes_in_whatever_order_it_is_named() {
    let study = Fabricated::new(2, 3, true);
    let forth = study.report(study.ends.clone());
    let back = study.report(study.ends.iter().rev().cloned().collect());
    assert!(forth == back, "the order of the inputs reached the report");
}

#[test]
fn everything_finds_its_place() {
    use ::report::rows::{MeasureCell, PairSplit, RunScore, Rung, SoupScore, Summary};
    let study = Fabricated::new(2, 3, true);
    let (tables, page, text) = study.report(study.ends.clone());
    let rungs = Rung::read(&tables["ladder"]).unwrap();
    assert_eq!(
        rungs.iter().map(|rung| (rung.pretraining_seed, rung.step)).collect::<Vec<_>>(),
        [(0, 0), (0, 100), (0, 900), (1, 0), (1, 100), (1, 900)]
    );
    let runs = RunScore::read(&tables["runs"]).unwrap();
    // 2 pretraining seeds x (3 default rungs + 2 of the other arm) x 3 seeds x 2 splits.
    assert_eq!(runs.len(), 60);
    assert_eq!(runs.iter().filter(|run| run.arm == "disambiguating = 0.0").count(), 24);
    assert!(
        runs.iter().all(|run| run.held_out_loss
            == Some([4.0, 2.5, 1.7][STEPS.iter().position(|s| *s == run.step).unwrap()]))
    );
    let pairs = PairSplit::read(&tables["pairs"]).unwrap();
    assert_eq!(pairs.len(), 60);
    assert!(pairs.iter().all(|pair| pair.agreement.is_some()
        && pair.barrier.is_some()
        && pair.counterfactual_agreement.is_some()));
    let soups = SoupScore::read(&tables["soups"]).unwrap();
    let uniform: Vec<&SoupScore> =
        soups.iter().filter(|soup| soup.method == "uniform" && soup.split == "ood").collect();
    assert_eq!(uniform.len(), 6);
    for soup in uniform {
        let singles: Vec<f64> = runs
            .iter()
            .filter(|run| soup.members.split(' ').any(|member| member == run.run) && run.split == "ood")
            .map(|run| run.accuracy)
            .collect();
        assert_eq!(singles.len(), 3);
        assert!((soup.accuracy - singles.iter().sum::<f64>() / 3.0 - soup.gain_over_mean).abs() < 1e-12);
    }
    assert!(
        soups.iter().any(|soup| soup.method == "probability ensemble" && soup.arm == "disambiguating = 0.0")
    );
    let cells = MeasureCell::read(&tables["cells"]).unwrap();
    let summary = Summary::read(&tables["summary"]).unwrap();
    let barrier = |kind: &str| {
        summary
            .iter()
            .find(|row| row.kind == kind && row.measure == "ood_error_barrier" && row.arm == "default")
            .unwrap()
    };
    let of = |step: u64| {
        let cells = cells
            .iter()
            .filter(|cell| cell.measure == "ood_error_barrier" && cell.step == step && cell.arm == "default");
        cells.map(|cell| cell.value).sum::<f64>() / 2.0
    };
    assert!((barrier("late - early").estimate - (of(900) - of(0))).abs() < 1e-12);
    assert!(barrier("late - early").upper.unwrap() < 0.0);
    assert_eq!((barrier("rung").n_pretraining, barrier("rung").n_finetuning), (2, 6));
    assert_eq!(tables.keys().filter(|name| name.contains(".seed-")).count(), 10);
    // Two pretraining seeds are too few to tell.
    assert!(page.contains("Inconclusive") && text.contains("Inconclusive"), "{text}");
}

/// The study's ends with another walk between the runs of each group; `height` says how high, by the height of the first.
fn walked_again(study: &Fabricated, path: &str, alphas: &[f64], height: fn(f64) -> f64) -> Vec<Manifest> {
    let mut ends = study.ends.clone();
    for first in study.ends.iter().filter(|end| end.stage == "interpolate") {
        let known = study.store.map(&first.output("pairs").unwrap().object).unwrap();
        let height = height(PairRow::read(&known).unwrap()[0].barrier);
        let models = first.inputs["model"].clone();
        let (pairs, paths) = lines(&models, path, alphas, height);
        let tables: [(&str, &[u8]); 2] = [("pairs", &pairs), ("paths", &paths)];
        let parameters = json!({"path": path, "alphas": alphas, "height": height});
        ends.push(study.commit("interpolate", parameters, &[("model", models)], &tables, json!({})));
    }
    ends
}

#[test]
fn a_further_path_adds_rows_and_moves_no_measure() {
    use ::report::rows::PairSplit;
    let study = Fabricated::new(1, 3, false);
    let (before, page, _) = study.report(study.ends.clone());
    let (after, further, _) =
        study.report(walked_again(&study, "spherical", &[-0.5, 0.0, 0.5, 1.0], |height| height + 0.3));
    let (old, new) = (PairSplit::read(&before["pairs"]).unwrap(), PairSplit::read(&after["pairs"]).unwrap());
    let (lines, arcs): (Vec<PairSplit>, Vec<PairSplit>) =
        new.into_iter().partition(|pair| pair.path == "linear");
    assert_eq!(lines, old);
    assert_eq!(arcs.len(), 30);
    assert!(arcs.iter().all(|pair| pair.path == "spherical"
        && pair.barrier.is_some_and(|barrier| barrier > 0.3)
        && pair.agreement.is_none()
        && pair.weight_distance.is_none()
        && pair.profile_distance.is_none()));
    assert!(before["summary"] == after["summary"], "another path reached the measures");
    assert!(page == further, "another path reached the page");
}

#[test]
fn two_grids_of_one_line_are_one_line() {
    use ::report::rows::{PairSplit, PathPoint};
    let study = Fabricated::new(1, 3, false);
    let barriers = |tables: &BTreeMap<String, Vec<u8>>| -> Vec<Option<f64>> {
        PairSplit::read(&tables["pairs"]).unwrap().into_iter().map(|pair| pair.barrier).collect()
    };
    let positions = |tables: &BTreeMap<String, Vec<u8>>| -> Vec<Vec<f64>> {
        let points = PathPoint::read(&tables["paths"]).unwrap();
        let one = points.chunk_by(|a, b| (&a.run_a, &a.run_b, &a.split) == (&b.run_a, &b.run_b, &b.split));
        one.map(|points| points.iter().map(|point| point.alpha).collect()).collect()
    };
    let (before, ..) = study.report(study.ends.clone());
    // Finer towards the ends, where the path is lower than in the middle.
    let (joined, ..) = study.report(walked_again(&study, "linear", &[0.0, 0.25, 0.75, 1.0], |height| height));
    assert!(positions(&joined).iter().all(|alphas| *alphas == [0.0, 0.25, 0.5, 0.75, 1.0]));
    for (old, new) in barriers(&before).into_iter().zip(barriers(&joined)) {
        assert!((old.unwrap() - new.unwrap()).abs() < 1e-12);
    }
    // Another height in the middle: the finer walk stands alone, and the other is named.
    let ends = walked_again(&study, "linear", &[0.0, 0.25, 0.5, 1.0], |height| height + 0.1);
    let (finer, ..) = study.report(ends.clone());
    assert!(positions(&finer).iter().all(|alphas| *alphas == [0.0, 0.25, 0.5, 1.0]));
    let manifests = upstream(&study.store, ends).unwrap();
    let warnings = collate(&study.store, None, &manifests, &lineage::runs(&manifests)).unwrap().warnings;
    // 5 groups x 3 pairs x 2 splits.
    assert_eq!(warnings.len(), 30);
    assert!(warnings[0].contains("disagree about the linear path between"), "{}", warnings[0]);
}

/// An evaluation of the same model on a task of another world, whose splits are `id` and `far`: as the first, but for names.
fn elsewhere(study: &Fabricated, first: &Manifest, loss: f64) -> Manifest {
    let read = |role: &str| study.store.map(&first.output(role).unwrap().object).unwrap();
    let renamed = |split: &str| if split == "ood" { "far".to_owned() } else { split.to_owned() };
    let scores = ScoreRow::read(&read("scores")).unwrap().into_iter();
    let scores: Vec<ScoreRow> =
        scores.map(|row| ScoreRow { split: renamed(&row.split), loss, ..row }).collect();
    let predictions = PredictionRow::read(&read("predictions")).unwrap().into_iter();
    let predictions: Vec<PredictionRow> =
        predictions.map(|row| PredictionRow { split: renamed(&row.split), ..row }).collect();
    let part = |role: &str| {
        let parameters = json!({"part": {"world": {"glyphs": {"cue": 0.9}}, "role": role}});
        let made = study.commit("prepare-part", parameters, &[], &[("examples", role.as_bytes())], json!({}));
        vec![made.input_of("examples").unwrap()]
    };
    let inputs = [
        ("model", first.inputs["model"].clone()),
        ("task.split.id", part("split.id")),
        ("task.split.far", part("split.far")),
        ("task.do.cue.base", part("do.cue.base")),
    ];
    let (scores, predictions) =
        (ScoreRow::write(&scores).unwrap(), PredictionRow::write(&predictions).unwrap());
    let outputs: [(&str, &[u8]); 3] =
        [("scores", &scores), ("effects", &read("effects")), ("predictions", &predictions)];
    study.commit("evaluate", json!({"loss": loss}), &inputs, &outputs, json!({"metric": "mcc"}))
}

#[test]
fn evaluations_on_another_task_add_splits_and_move_no_measure() {
    use ::report::rows::{InterventionEffect, PairSplit, RunScore, SoupScore};
    let study = Fabricated::new(1, 3, true);
    let (before, ..) = study.report(study.ends.clone());
    let evaluations = || study.ends.iter().filter(|end| end.stage == "evaluate");
    let further: Vec<Manifest> = evaluations().map(|first| elsewhere(&study, first, 0.7)).collect();
    let (after, ..) = study.report([study.ends.clone(), further.clone()].concat());
    let splits = |tables: &BTreeMap<String, Vec<u8>>| {
        let mut splits: BTreeMap<String, usize> = BTreeMap::new();
        for row in RunScore::read(&tables["runs"]).unwrap() {
            let metric = if row.split.contains('/') || row.split == "far" { "mcc" } else { "accuracy" };
            assert_eq!((row.metric.as_str(), row.score.is_some()), (metric, true), "{}", row.split);
            *splits.entry(row.split).or_default() += 1;
        }
        splits
    };
    let named =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 15)).collect::<BTreeMap<_, _>>();
    assert_eq!(splits(&before), named(&["id", "ood"]));
    assert_eq!(splits(&after), named(&["far", "glyphs/id", "id", "ood"]));
    let pairs = |tables: &BTreeMap<String, Vec<u8>>| PairSplit::read(&tables["pairs"]).unwrap();
    let (own, other): (Vec<PairSplit>, Vec<PairSplit>) =
        pairs(&after).into_iter().partition(|pair| ["id", "ood"].contains(&pair.split.as_str()));
    assert_eq!(own, pairs(&before));
    assert!(other.len() == 30 && other.iter().all(|pair| pair.agreement.is_some()));
    let effects = InterventionEffect::read(&after["interventions"]).unwrap();
    assert_eq!(effects.iter().filter(|row| row.intervention == "glyphs/cue").count(), 15);
    let soups = SoupScore::read(&after["soups"]).unwrap();
    assert_eq!(soups.iter().filter(|soup| soup.method == "uniform" && soup.split == "glyphs/id").count(), 3);

    // The same examples once more: nothing is added, and where the answers differ it is said.
    let repeated: Vec<Manifest> = evaluations().map(|first| elsewhere(&study, first, 0.8)).collect();
    let manifests = upstream(&study.store, [study.ends.clone(), further, repeated].concat()).unwrap();
    let collated = collate(&study.store, None, &manifests, &lineage::runs(&manifests)).unwrap();
    assert_eq!(collated.observed.runs.len(), 60);
    // 15 runs and 3 soups x 2 splits; effects are the same.
    assert_eq!(collated.warnings.len(), 36);
    assert!(collated.warnings[0].contains("about the same examples"), "{}", collated.warnings[0]);
}

#[test]
fn what_is_missing_is_said_and_never_not_a_number() {
    let study = Fabricated::new(1, 2, false);
    let evaluations: Vec<Manifest> =
        study.ends.iter().filter(|end| end.stage == "evaluate").cloned().collect();
    let lines: Vec<Manifest> = study.ends.iter().filter(|end| end.stage == "interpolate").cloned().collect();
    let (_, page, _) = study.report(lines.clone());
    assert!(page.contains("OOD error barrier") && page.contains("interventions (no profiles)"));
    for ends in [study.ends.clone(), evaluations, lines, study.ends[..2].to_vec()] {
        let (_, page, text) = study.report(ends);
        assert!(!page.contains("NaN") && !page.contains(">inf") && !text.contains("NaN"));
        assert!(page.contains("One pretraining seed"));
    }
    let (_, page, _) = study.report(study.ends[..2].to_vec());
    assert!(page.contains("Unmeasured") && page.contains("interpolations (no barriers)"), "{page}");
}

#[test]
fn an_evaluation_of_a_model_that_is_gone_is_refused() {
    let study = Fabricated::new(1, 2, false);
    let elsewhere = tempfile::tempdir().unwrap();
    let store = Store::open(elsewhere.path()).unwrap();
    let message = upstream(&store, vec![study.ends[1].clone()]).unwrap_err().to_string();
    assert!(
        message.starts_with("evaluate ") && message.contains("whose manifest is not in the store"),
        "{message}"
    );
}
