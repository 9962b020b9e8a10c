//! Target `resolve`: whole files through syntax, shape, merge, variables, values and rules.

use std::path::{Path, PathBuf};

use schema::sandboxfile::problem::Code;
use schema::sandboxfile::resolve::{
    Included, Includes, Refused, ResolveInputs, Tracing, Trust, resolve_with,
};
use schema::sandboxfile::source::{Format, SourceFile};

use crate::facts;

/// Stands between layers in an input, and before each file that may be included; no file may hold
/// either.
const LAYER: u8 = 0x1e;
const INCLUDED: u8 = 0x1d;

/// Resolves `bytes`, cut into layers and included files, and holds project and problems to their
/// promises.
pub(crate) fn check(bytes: &[u8], format: Format) {
    let file = |bytes: &[u8], path: PathBuf| SourceFile { path, bytes: bytes.to_vec(), format };
    let mut parts = bytes.split(|byte| *byte == INCLUDED);
    let layers = parts.next().unwrap_or_default().split(|byte| *byte == LAYER);
    let files: Vec<_> = layers.map(|layer| file(layer, "Sandboxfile".into())).collect();
    let named = |(number, part)| file(part, format!("{number}.kdl").into());
    let included = Kept(parts.enumerate().map(named).collect());
    for inputs in [inputs(Trust::Trusted), inputs(Trust::Untrusted)] {
        check_with(&files, &included, &inputs);
    }
}

/// The files of an input that may be included, `0.kdl` and so on.
#[derive(Clone)]
struct Kept(Vec<SourceFile>);

impl Includes for Kept {
    fn open(&mut self, folder: &Path, path: &str) -> Result<Included, Refused> {
        let name = path.trim_start_matches("./");
        match self.0.iter().find(|file| file.path == Path::new(name)) {
            Some(file) => Ok(Included {
                file: file.clone(),
                folder: folder.to_path_buf(),
                identity: file.path.clone(),
            }),
            None => Err(Refused {
                code: Code::FILE_NOT_FOUND,
                message: "no such file".to_owned(),
                help: "write one that is there".to_owned(),
            }),
        }
    }
}

fn check_with(files: &[SourceFile], included: &Kept, inputs: &ResolveInputs) {
    match resolve_with(files, inputs, &mut included.clone()) {
        Ok(resolved) => {
            let sources = &resolved.sources;
            resolved.warnings.iter().for_each(|warning| facts::of_problem(warning, sources));
            let again = resolve_with(files, inputs, &mut included.clone());
            let again = again.expect("what resolves once resolves again");
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

fn inputs(trust: Trust) -> ResolveInputs {
    let environment = [("HOST", "a.example"), ("PORT", "8080"), ("EMPTY", "")];
    ResolveInputs {
        folder: "/home/ana/acme".into(),
        home: "/home/ana".into(),
        environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
        profiles: ["debug".to_owned()].into(),
        trust,
        tracing: if trust == Trust::Trusted { Tracing::On } else { Tracing::Off },
        ..ResolveInputs::default()
    }
}
