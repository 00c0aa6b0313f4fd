//! What every method must do, whichever it is.

use super::*;
use crate::tests::weights;

/// A merge of models over a base that holds all of their tensors.
pub(crate) fn over(method: &'static Method, base: &Weights, models: &[&Weights], plan: &Plan) -> Weights {
    let shared = vec![true; base.layout().entries().len()];
    let members = Members::of(models).unwrap().with_base(base, &shared).unwrap();
    method.merge(&members, plan).unwrap()
}

/// A plan with everything at 1, so that a merge of one model is the model.
fn ones(method: &Method) -> Plan {
    let full = ["density", "scale", "weight", "alpha"];
    let known = full.iter().filter(|name| method.parameter(name).is_some());
    let plan = known.fold(Plan::default(), |plan, name| plan.with(name, 1.0));
    // Far enough for every value.
    if method.parameter("step").is_some() { plan.with("step", 1e6) } else { plan }
}

/// Methods that merge, with the number of models that each takes at least.
fn merging() -> impl Iterator<Item = (&'static Method, usize)> {
    METHODS.into_iter().filter(|method| !method.selects()).map(|method| (method, method.members.0))
}

#[test]
fn names_and_parameters_are_unique() {
    for (i, method) in METHODS.iter().enumerate() {
        assert_eq!(METHODS.iter().position(|other| other.name == method.name), Some(i));
        assert!(method.version > 0 && !method.about.is_empty());
        for (j, parameter) in method.parameters.iter().enumerate() {
            let first = method.parameters.iter().position(|other| other.name == parameter.name);
            assert_eq!(first, Some(j), "{}", method.name);
            parameter.check(&parameter.default()).unwrap();
        }
    }
}

#[test]
fn the_merge_of_copies_is_the_copy() {
    let (base, model) = (weights(1), weights(2));
    // Of a model that stands out, arcee-fusion takes only what stands out.
    for (method, least) in merging().filter(|(method, _)| method.name != "arcee-fusion") {
        let found = over(method, &base, &vec![&model; least], &ones(method));
        // Merges on spheres go through lengths and back.
        let tolerance = match method.name {
            "nuslerp" | "multislerp" | "karcher" => 5e-7,
            _ => 0.0,
        };
        for (found, model) in found.values.iter().zip(&model.values) {
            assert!((found - model).abs() <= tolerance, "{}: {found} {model}", method.name);
        }
    }
}

#[test]
fn what_learned_nothing_stays_the_base() {
    let base = weights(1);
    for (method, least) in merging().filter(|(method, _)| method.base == Base::Required) {
        let found = over(method, &base, &vec![&base; least], &Plan::default());
        assert_eq!(found.values, base.values, "{}", method.name);
    }
}

#[test]
fn order_does_not_matter() {
    let base = weights(1);
    let models: Vec<Weights> = (2..6).map(weights).collect();
    for (method, _) in merging().filter(|(method, _)| !method.random && method.members.1 > 2) {
        let forward: Vec<&Weights> = models.iter().collect();
        let backward: Vec<&Weights> = models.iter().rev().collect();
        let plan = Plan::default();
        let (a, b) = (over(method, &base, &forward, &plan), over(method, &base, &backward, &plan));
        assert!(a.values.iter().zip(&b.values).all(|(a, b)| (a - b).abs() < 1e-5), "{}", method.name);
    }
}

/// Files give the bytes that memory gives, whatever their order of tensors; a head that the base lacks is averaged.
#[test]
fn files_are_merged_as_memory_is() {
    let base = weights(1);
    let models: Vec<Weights> = (2..5).map(weights).collect();
    let files: Vec<Vec<u8>> = models.iter().map(Weights::to_safetensors).collect();
    let stored: Vec<crate::Stored<'_>> =
        files.iter().map(|file| crate::Stored::parse(file).unwrap()).collect();
    for (method, _) in merging() {
        let n = method.members.1.min(3);
        let models: Vec<&Weights> = models[..n].iter().collect();
        let shared = [true, false];
        let members = Members::of(&models).unwrap().with_base(&base, &shared).unwrap();
        let memory = method.merge(&members, &Plan::default()).unwrap();
        let members =
            Members::of_files(&stored[..n], base.layout()).unwrap().with_base(&base, &shared).unwrap();
        let mut file = Vec::new();
        let mut take = |piece: &[u8]| -> Result<(), Error> {
            file.extend_from_slice(piece);
            Ok(())
        };
        method.stream(&members, &Plan::default(), &mut take).unwrap();
        assert_eq!(file, memory.to_safetensors(), "{}", method.name);
        if method.base == Base::Required {
            let bias = memory.layout().entry("body.bias").unwrap().range();
            let mean = models.iter().map(|model| f64::from(model.values[bias.start])).sum::<f64>() / n as f64;
            assert_eq!(memory.values[bias.start], mean as f32, "{}", method.name);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_a_value_is_read() {
    let (base, mut model) = (weights(1), weights(2));
    model.values[4] = f32::NAN;
    let message = |method: &str, models: &[&Weights], plan: &Plan| {
        let members = Members::of(models).unwrap();
        Method::named(method).unwrap().merge(&members, plan).unwrap_err().to_string()
    };
    let plan = Plan::default();
    assert_eq!(message("slerp", &[&base; 3], &plan), "slerp takes 2 models, not 3");
    assert_eq!(message("wise-ft", &[&base; 3], &plan), "wise-ft takes 1 model, not 3");
    assert_eq!(message("ties", &[&model], &plan), "ties needs the base that the models were fine-tuned from");
    assert_eq!(
        message("uniform", &[&model], &plan.clone().with("scale", 1.0)),
        "scale has no effect with uniform"
    );
    assert_eq!(
        message("linear", &[&model], &plan.clone().with("weight", f64::NAN)),
        "weight must be a finite number, not NaN"
    );
    assert_eq!(
        message("uniform", &[&base, &model], &plan),
        "model 1: tensor `body.weight` holds NaN at index 4"
    );
    assert!(matches!(Members::of(&[]), Err(Error::Empty)));
    let members = Members::of(&[&base]).unwrap().with_base(&base, &[true, true]).unwrap();
    for (method, _) in merging().filter(|(method, _)| method.members.0 == 1) {
        for parameter in method.parameters {
            if let crate::parameters::Kind::Number { .. } = parameter.kind {
                let plan = Plan::default().with(parameter.name, f64::NAN);
                let error = method.merge(&members, &plan).unwrap_err();
                assert!(matches!(error, Error::Parameter { .. }), "{} {}", method.name, parameter.name);
            }
        }
    }
}
