//! Published accuracies become tables and a page that says what scores allow, and lists that contradict themselves are refused.

use std::path::{Path, PathBuf};
use std::process::Output;

use report::rows::{Correlation, ItemCount, RunScore, SelectionGain, Spread};

use crate::harness::{program, succeed, text};

const LIST: &str = "\u{feff}name,dev,far,passive\n\
    Run 0,0.90,0.50,0.1\nRun 1,0.92,0.70,0.3\nRun 2,0.91,0.40,0.2\n\
    Minimum,0.90,0.40,0.1\nMaximum,0.92,0.70,0.3\nMean,0.91,0.53333,0.2\nStandard deviation,0.01,0.15275,0.1\n,,,\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).expect("writable");
        self.path(name).display().to_string()
    }

    /// `import` to the folder `tables`.
    fn import(&self, arguments: &[&str]) -> Output {
        let mut command = program("import");
        command.args(arguments).arg("--out").arg(self.path("tables"));
        command.output().expect("it starts")
    }

    fn fails(&self, code: i32, arguments: &[&str], reason: &str) {
        let output = self.import(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(reason) && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty() && !self.path("tables/runs.parquet").exists());
    }

    /// The page that `report --tables` makes, twice.
    fn page(&self) -> String {
        let make = |out: &str| {
            let mut command = program("report");
            command.arg("--tables").arg(self.path("tables")).arg("--out").arg(self.path(out));
            succeed(&command.output().expect("it starts"));
            std::fs::read_to_string(self.path(out).join("report.html")).expect("a page")
        };
        let (first, second) = (make("out"), make("again"));
        assert!(first == second, "two pages of the same tables differ");
        assert!(!first.contains("NaN") && !first.contains(">inf"));
        if let Some(keep) = std::env::var_os("KEEP_PAGES") {
            let name = std::thread::current().name().unwrap_or("page").replace("::", "-");
            std::fs::write(Path::new(&keep).join(format!("{name}.html")), &first).expect("writable");
        }
        first
    }

    fn table(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path("out/tables").join(format!("{name}.parquet"))).expect("a table")
    }
}

/// Flags for [`LIST`].
const FLAGS: [&str; 14] = [
    "--run",
    "name",
    "--score",
    "dev",
    "id",
    "100",
    "--score",
    "far",
    "ood",
    "50",
    "--score",
    "passive",
    "ood/passive",
    "10",
];

fn with<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[file], &FLAGS[..], more].concat()
}

#[test]
fn a_list_becomes_tables_and_a_page() {
    let folder = Folder::new();
    let file = folder.write("runs.csv", LIST);
    let items: String = (0..100).map(|i| format!("{}\n", if i < 91 { 3 } else { 0 })).collect();
    let items = folder.write("items.tsv", &format!("right\n{items}"));
    let more = ["--items", &items, "right", "id", "--step", "=900", "--majority", "id", "0.9", "--json"];
    let output = folder.import(&with(&file, &more));
    succeed(&output);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&said["runs"], &said["scores"], &said["checked"], &said["items"]),
        (&3.into(), &3.into(), &12.into(), &100.into())
    );
    let page = folder.page();
    assert!(
        page.contains(
            "Across 3 fine-tuning runs of one checkpoint, OOD accuracy ranges from 0.400 to 0.700."
        ),
        "{page}"
    );
    assert!(page.contains("Of 100 examples of id, every run is right on 91 and none on 9."));
    for claim in ["Unmeasured", "agree more", "agree less", "matters less", "matters more"] {
        assert!(
            !page.contains(&format!("<h1>{claim}")) && !page.contains(&format!("answer\">{claim}")),
            "{claim}"
        );
    }
    let runs = RunScore::read(&folder.table("runs")).expect("runs");
    assert_eq!(runs.len(), 9);
    let first = runs.iter().find(|run| run.run == "Run 1" && run.split == "id").expect("a row");
    assert_eq!((first.step, first.finetuning_seed, first.accuracy, first.loss), (900, 1, 0.92, None));
    // No better than the most frequent label in distribution.
    let failed = |name: &str| runs.iter().find(|run| run.run == name).expect("a row").failed;
    assert_eq!([failed("Run 0"), failed("Run 1")], [true, false]);
    let spreads = Spread::read(&folder.table("spreads")).expect("spreads");
    let of_id = spreads.iter().find(|row| row.split == "id").expect("a row");
    assert!((of_id.sd - 0.01).abs() < 1e-12 && of_id.right_in_all == Some(91), "{of_id:?}");
}

#[test]
fn other_formats_say_the_same() {
    let rows = |folder: &Folder| {
        RunScore::read(&std::fs::read(folder.path("tables/runs.parquet")).expect("a table")).expect("runs")
    };
    let csv = Folder::new();
    let file = csv.write("runs.csv", "seed,step,acc\n7,100,50\n8,100,75\n7,200,25\n");
    let flags = [
        "--run",
        "step",
        "--run",
        "seed",
        "--score",
        "acc",
        "ood",
        "4",
        "--percent",
        "--step",
        "step",
        "--seed",
        "seed",
    ];
    succeed(&csv.import(&[&[file.as_str()], &flags[..]].concat()));
    let jsonl = Folder::new();
    let lines = "{\"seed\": 7, \"step\": 100, \"acc\": 50}\n{\"step\": 100, \"seed\": 8, \"acc\": 75}\n{\"seed\": 7, \"step\": 200, \"acc\": 25}\n";
    let file = jsonl.write("runs.jsonl", lines);
    succeed(&jsonl.import(&[&[file.as_str()], &flags[..]].concat()));
    assert_eq!(rows(&csv), rows(&jsonl));
    let found: Vec<(String, u64, u64, f64)> =
        rows(&csv).into_iter().map(|run| (run.run, run.step, run.finetuning_seed, run.accuracy)).collect();
    let expected = [("100/7", 100, 7, 0.5), ("100/8", 100, 8, 0.75), ("200/7", 200, 7, 0.25)];
    assert_eq!(found, expected.map(|(run, step, seed, accuracy)| (run.to_owned(), step, seed, accuracy)));
    // The tables are a source themselves: Parquet.
    let parquet = Folder::new();
    let file = csv.path("tables/runs.parquet").display().to_string();
    let flags =
        ["--run", "run", "--score", "accuracy", "ood", "4", "--step", "step", "--seed", "finetuning_seed"];
    succeed(&parquet.import(&[&[file.as_str()], &flags[..]].concat()));
    assert_eq!(rows(&parquet), rows(&csv));
}

#[test]
fn lists_that_contradict_themselves_are_refused() {
    let folder = Folder::new();
    let list = |from: &str, to: &str| {
        assert!(LIST.contains(from));
        folder.write("runs.csv", &LIST.replacen(from, to, 1))
    };
    let file = list("Mean,0.91", "Mean,0.93");
    folder.fails(3, &with(&file, &[]), "line 7: `Mean` of `dev` is 0.93, but its 3 runs give 0.91");
    let file = list("Run 1,0.92", "Run 1,0.95");
    folder.fails(3, &with(&file, &[]), "Maximum");
    let file = list("Run 2", "Run 1");
    folder.fails(3, &with(&file, &[]), "there is a run `Run 1` already");
    let file = list("0.90,0.50", "nan,0.50");
    folder.fails(3, &with(&file, &[]), "line 2: `dev` is `nan`, not a number");
    let file = list("0.90,0.50", "90,0.50");
    folder.fails(3, &with(&file, &[]), "are these percentages");
    let file = list("Run 2", "Mittel");
    folder.fails(3, &with(&file, &["--runs", "Run *"]), "`Mittel` does not fit --runs");
    let file = folder.write("runs.csv", LIST);
    folder.fails(3, &["absent.csv", "--run", "name", "--score", "dev", "id", "9"], "cannot read");
    folder.fails(3, &[&file, "--run", "name", "--score", "def", "id", "9"], "it has no column `def`");
    folder.fails(3, &[&file, "--run", "name", "--score", "dev", "id", "30"], "out of 30: is N right?");
    folder.fails(3, &with(&file, &["--seed", "name"]), "--seed is `Run 0`, not a whole number");
    folder.fails(3, &with(&file, &["--arm", "=other"]), "no run has the arm `default`");
    let items = folder.write("items.tsv", "right\n4\n");
    folder.fails(3, &with(&file, &["--items", &items, "right", "id"]), "not a number of the 3 runs");
    let items = folder.write("items.tsv", "right\n3\n");
    folder.fails(3, &with(&file, &["--items", &items, "right", "id"]), "has 1 examples, but `id` has 100");
    let items = folder.write("items.tsv", &format!("right\n{}", "3\n".repeat(100)));
    folder.fails(3, &with(&file, &["--items", &items, "right", "id"]), "by their accuracies");
    folder.fails(2, &with(&file, &["--items", &items, "right", "val"]), "of none or of several");
    folder.fails(2, &[&file, "--run", "name"], "--score");
    folder.fails(2, &[&file, "--run", "name", "--score", "dev", "id", "0"], "no number of examples");
    folder.fails(2, &with(&file, &["--score", "far", "id", "9"]), "are both of id");
    folder.fails(2, &with(&file, &["--majority", "val", "0.5"]), "no --score is of it");
    folder.fails(2, &with(&folder.write("runs.txt", LIST), &[]), "--format");
    std::fs::create_dir(folder.path("tables")).expect("a folder");
    std::fs::write(folder.path("tables/pairs.parquet"), "").expect("writable");
    folder.fails(2, &with(&file, &[]), "already has the table `pairs`");
}

/// A file of the shared data, or `None`, said plainly.
fn shared(name: &str) -> Option<String> {
    match std::env::var_os("SAMEBASIN_DATA") {
        Some(data) => Some(Path::new(&data).join(name).display().to_string()),
        None => {
            eprintln!("skipped: SAMEBASIN_DATA is not set");
            None
        }
    }
}

/// McCoy, Min and Linzen 2020: 100 runs of one BERT, and all the file says of them.
#[test]
fn a_hundred_berts() {
    const FILE: &str = "berts_of_a_feather/berts_of_a_feather_accuracies_by_run.csv";
    let Some(file) = shared(FILE) else { return };
    let items = shared("berts_of_a_feather/mnli_dev_matched.txt").expect("set");
    let list = std::fs::read_to_string(&file).expect("the list");
    let header: Vec<&str> =
        list.lines().next().expect("a header").trim_start_matches('\u{feff}').split(',').collect();
    let places: Vec<String> = header[1..]
        .iter()
        .map(|&name| match name {
            "MNLI dev acc." => "id".into(),
            "Overall accuracy" => "ood".into(),
            case => format!("ood/{case}"),
        })
        .collect();
    let mut arguments = vec![file.as_str(), "--run", "Run", "--runs", "Run *"];
    for (i, (column, place)) in header[1..].iter().zip(&places).enumerate() {
        let n = match i {
            0 => "9815",
            1..=6 => "5000",
            7 => "30000",
            _ => "1000",
        };
        arguments.extend(["--score", column, place, n]);
    }
    arguments.extend(["--step", "=1000000", "--majority", "id", "0.3545", "--learning-rate", "=2e-5"]);
    let column = "number of correct responses (out of 100)";
    arguments.extend(["--items", &items, column, "id", "--items-format", "tsv", "--json"]);
    let folder = Folder::new();
    let output = folder.import(&arguments);
    succeed(&output);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // Four summary rows of 38 scores.
    assert_eq!(
        (&said["runs"], &said["checked"], &said["items"]),
        (&100.into(), &(4 * 38).into(), &9815.into())
    );
    let page = folder.page();
    assert!(page.contains("Across 100 fine-tuning runs of one checkpoint"), "{page}");
    assert!(page.contains("1,000,000 steps") && !page.contains("Unmeasured"));
    let spreads = Spread::read(&folder.table("spreads")).expect("spreads");
    let row = |split: &str, case: &str| {
        spreads.iter().find(|row| row.split == split && row.case == case).expect("a row")
    };
    let near = |found: f64, stated: f64, what: &str| {
        assert!((found - stated).abs() < 1.1e-8, "{what}: {found} {stated}")
    };
    // The file's own rows, to their last digit.
    let stated = |name: &str| -> Vec<f64> {
        let line = list.lines().find(|line| line.starts_with(name)).expect("a summary row");
        line.split(',').skip(1).map(|cell| cell.parse().expect("a number")).collect()
    };
    for (name, value) in [
        ("Minimum,", (|row| row.minimum) as fn(&Spread) -> f64),
        ("Maximum,", |row| row.maximum),
        ("Mean,", |row| row.mean),
        ("Standard deviation,", |row| row.sd),
    ] {
        for (place, stated) in places.iter().zip(stated(name)) {
            let (split, case) = place.split_once('/').unwrap_or((place, ""));
            near(value(row(split, case)), stated, place);
        }
    }
    // As published: MNLI .8434 sd .0024; lexical overlap, not entailed: .2766, sd .1236, from .0524 to .5452.
    let lexical = row("ood", "Lexical (nonent)");
    assert_eq!(
        format!("{:.4} {:.4} {:.4} {:.4}", lexical.mean, lexical.sd, lexical.minimum, lexical.maximum),
        "0.2766 0.1236 0.0524 0.5452"
    );
    let id = row("id", "");
    assert_eq!((id.items, id.runs), (Some(9815), 100));
    assert!(
        id.net_variance.is_some_and(|net| net < id.sd.powi(2))
            && id.shared.is_some_and(|shared| shared > 0.5),
        "{id:?}"
    );
    assert_eq!(ItemCount::read(&folder.table("items")).expect("items").len(), 9815);
    let correlations = Correlation::read(&folder.table("correlations")).expect("correlations");
    assert_eq!(correlations.len(), 38 * 37 / 2);
}

/// Wortsman et al. 2022: 72 fine-tunes of one CLIP with many recipes.
#[test]
fn seventy_two_ingredients_of_soups() {
    let Some(file) = shared("model-soups-72/individual_model_results.jsonl") else { return };
    let scores = [
        ("ImageNet2p", "val", "26000", 0.806028, 0.011921),
        ("ImageNet", "id", "50000", 0.779294, 0.011784),
        ("ImageNetV2", "ood", "10000", 0.662254, 0.012210),
        ("ImageNetSketch", "ood-sketch", "50889", 0.418786, 0.028418),
        ("ImageNetR", "ood-r", "30000", 0.597700, 0.045581),
        ("ObjectNet", "ood-objectnet", "18574", 0.416428, 0.030119),
        ("ImageNetA", "ood-a", "7500", 0.239115, 0.046180),
    ];
    let mut arguments = vec![file.as_str(), "--run", "model_name"];
    for (column, split, n, ..) in scores {
        arguments.extend(["--score", column, split, n]);
    }
    let folder = Folder::new();
    succeed(&folder.import(&arguments));
    let page = folder.page();
    assert!(page.contains("Across 72 fine-tuning runs of one checkpoint"), "{page}");
    // Nobody said after how many steps of pretraining.
    assert!(page.contains("one checkpoint</p>") && page.contains("A run scores"));
    let spreads = Spread::read(&folder.table("spreads")).expect("spreads");
    for (_, split, _, mean, sd) in scores {
        let row = spreads.iter().find(|row| row.split == split).expect("a row");
        assert!((row.mean - mean).abs() < 1e-6 && (row.sd - sd).abs() < 1e-6 && row.runs == 72, "{row:?}");
    }
    let gains = SelectionGain::read(&folder.table("selection")).expect("a table");
    let of = |best_of: u64| {
        gains.iter().find(|row| row.split == "id" && row.best_of == best_of).expect("a row").expected
    };
    assert!(of(1) < of(3) && of(3) < of(10));
}
