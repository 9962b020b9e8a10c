//! Target `resolve`: whole files through syntax, shape, merge, variables, values and rules.

use schema::sandboxfile::resolve::{ResolveInputs, resolve};
use schema::sandboxfile::source::{Format, SourceFile};

use crate::facts;

/// Stands between layers in an input; no file may hold it.
const LAYER_END: u8 = 0x1e;

/// Resolves `bytes`, cut into layers, and holds project and problems to their promises.
pub(crate) fn check(bytes: &[u8], format: Format) {
    let files: Vec<SourceFile> = bytes
        .split(|byte| *byte == LAYER_END)
        .map(|layer| SourceFile { path: "Sandboxfile".into(), bytes: layer.to_vec(), format })
        .collect();
    let inputs = inputs();
    match resolve(&files, &inputs) {
        Ok(resolved) => {
            let sources = &resolved.sources;
            resolved.warnings.iter().for_each(|warning| facts::of_problem(warning, sources));
            let again = resolve(&files, &inputs).expect("what resolves once resolves again");
            assert_eq!(resolved.project, again.project, "the same files, another project");
            let instances = resolved.project.sandboxes.len();
            assert!(instances <= inputs.limits.instances, "{instances} instances");
        }
        Err(failed) => {
            assert!(failed.errors() > 0, "it failed without an error");
            let most = 2 * inputs.limits.problems;
            assert!(failed.problems.len() <= most, "{} problems", failed.problems.len());
            failed.problems.iter().for_each(|problem| facts::of_problem(problem, &failed.sources));
            let plain = failed.plain();
            assert!(plain.ends_with(" problems\n") || plain.ends_with(" problem\n"), "{plain}");
        }
    }
}

fn inputs() -> ResolveInputs {
    let environment = [("HOST", "a.example"), ("PORT", "8080"), ("EMPTY", "")];
    ResolveInputs {
        folder: "/home/ana/acme".into(),
        home: "/home/ana".into(),
        environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
        ..ResolveInputs::default()
    }
}
