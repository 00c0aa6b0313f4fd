//! How many seeds a study needs: from given components by hand, and from the tables of a pilot.

use serde_json::Value;

use crate::harness::{program, succeed, text};

fn plan(arguments: &[&str]) -> std::process::Output {
    program("plan").args(arguments).output().expect("it starts")
}

fn planned(arguments: &[&str]) -> Value {
    let output = plan(&[arguments, &["--json"]].concat());
    succeed(&output);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn given_components_are_the_textbook_s() {
    // sd 0.1 with one fine-tuning seed and 0.06 without end: an effect of half the sd needs 34 seeds (Cohen 1988).
    let given =
        ["--between", "0.06", "--within", "0.08", "--effect", "0.05", "--margin", "0.05", "--primaries", "1"];
    let flags = ["--finetuning", "1", "16", "--pretraining", "34", "--rungs", "4"];
    let plan_of = planned(
        &[&given[..], &flags, &["--pretraining-minutes", "60", "--finetuning-minutes", "1"]].concat(),
    );
    let needed = plan_of["needed"].as_array().expect("a list");
    assert!((needed[0]["sd"].as_f64().unwrap() - 0.1).abs() < 1e-12);
    assert_eq!(needed[0]["for_effect"], 34);
    let margin = needed[0]["for_margin"].as_u64().unwrap();
    assert!((35..=37).contains(&margin), "{margin}");
    assert_eq!(needed[0]["runs"], margin * 4);
    assert_eq!(needed[0]["minutes"].as_f64().unwrap(), (margin * 60 + margin * 4) as f64);
    assert!((needed[1]["sd"].as_f64().unwrap() - 0.004_f64.sqrt()).abs() < 1e-12);
    assert!(needed[1]["for_effect"].as_u64() < Some(34));
    let smallest = plan_of["smallest"][0]["effect"].as_f64().unwrap();
    assert!((smallest - 0.0495).abs() < 5e-4 && plan_of["smallest"][0]["interval"].is_null());
    // The same in words.
    let words = text(&plan(&[&given[..], &flags].concat()).stdout);
    for part in ["to detect 0.05", "to show it within 0.05", "34", "fine-tuning runs"] {
        assert!(words.contains(part), "{part} is not in\n{words}");
    }
}

#[test]
fn a_pilot_is_its_tables() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut list = String::from("seed,step,run,acc\n");
    // Spreads of .1 and .2 early, .1 and .1 late: the changes are 0 and -.1.
    for (seed, step, spread) in [(0, 10, 0.1), (1, 10, 0.2), (0, 20, 0.1), (1, 20, 0.1)] {
        for (run, place) in [-1.0, 0.0, 1.0].into_iter().enumerate() {
            list += &format!("{seed},{step},{run},{:.1}\n", 0.5 + place * spread);
        }
    }
    std::fs::write(path("runs.csv"), list).expect("writable");
    let mut import = program("import");
    import.arg(path("runs.csv")).args([
        "--out",
        &path("tables"),
        "--run",
        "seed",
        "--run",
        "step",
        "--run",
        "run",
    ]);
    import.args([
        "--score",
        "acc",
        "ood",
        "10",
        "--pretraining-seed",
        "seed",
        "--step",
        "step",
        "--seed",
        "run",
    ]);
    succeed(&import.output().expect("it starts"));
    let tables = path("tables");
    let found = planned(&["--pilot", &tables, "--measure", "ood_accuracy_sd", "--effect", "0.1"]);
    let scatter = &found["scatter"];
    assert_eq!(scatter["pilot_seeds"], 2);
    let (between, within) = (scatter["between"].as_f64().unwrap(), scatter["within"].as_f64().unwrap());
    // Variance .005 of the changes, of which the fine-tuning seeds explain a part.
    assert!(within > 0.0 && (between.powi(2) + within.powi(2) / 3.0 >= 0.005 - 1e-9), "{between} {within}");
    assert!(found["smallest"][0]["interval"][1].as_f64() > found["smallest"][0]["effect"].as_f64());
    assert!(
        text(&plan(&["--pilot", &tables, "--measure", "ood_accuracy_sd"]).stdout)
            .contains("pilot of 2 pretraining seeds")
    );

    for (code, arguments, reason) in [
        (2, &["--effect", "0.1"][..], "--pilot"),
        (2, &["--between", "0.1"], "--within"),
        (2, &["--pilot", "x", "--between", "0.1", "--within", "0.1"], "cannot be used with"),
        (2, &["--between", "0", "--within", "0"], "positive"),
        (2, &["--between", "nan", "--within", "0"], "--between"),
        (2, &["--pilot", &tables, "--measure", "agreement"], "no measure `agreement`"),
        (3, &["--pilot", &tables, "--measure", "ood_agreement"], "no `ood_agreement`"),
        (3, &["--pilot", "absent"], "no table of a study"),
    ] {
        let output = plan(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(reason) && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}
