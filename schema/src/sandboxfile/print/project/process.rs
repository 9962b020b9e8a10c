//! What runs in a sandbox: arguments, environment, limits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::body::words;
use super::node::{Node, line};
use super::values::{limit, number, text};
use super::{Unwritable, Writer};
use crate::name::{EnvKey, SandboxName};
use crate::project::{ArgumentList, EnvValue, Rlimit};
use crate::sandboxfile::tree::Scalar;

impl Writer<'_> {
    pub(super) fn arguments(&self, node: &mut Node, key: &'static str, list: &ArgumentList) {
        match list {
            ArgumentList::Image => {}
            ArgumentList::Nothing => node.add(line(key, Scalar::null())),
            ArgumentList::Words(list) => node.add(words(key, list)),
        }
    }

    pub(super) fn env(
        &self,
        node: &mut Node,
        name: &SandboxName,
        (env, files): (&BTreeMap<EnvKey, EnvValue>, &[PathBuf]),
    ) -> Result<(), Unwritable> {
        let address = format!("sandbox {name}");
        let mut map = Node::block(self.fields, "env");
        for (key, value) in env {
            let mut one = Node::line(self.fields, "env");
            match value {
                EnvValue::Literal(value) => one.value(text(value)),
                EnvValue::FromEnv(variable) => one.key("from-env", text(variable)),
                EnvValue::FromFile(path) => one.key("from-file", self.path(&address, path)?),
                EnvValue::Secret(secret) => one.key("secret", text(secret.as_str())),
            }
            let mut entry = one.done();
            entry.key = key.to_string().into();
            map.add(entry);
        }
        node.block_of(map);
        let files: Result<Vec<Scalar<'static>>, Unwritable> =
            files.iter().map(|path| self.path(&address, path)).collect();
        node.list("env-file", files?.into_iter());
        Ok(())
    }

    pub(super) fn rlimits(&self, node: &mut Node, rlimits: &BTreeMap<String, Rlimit>) {
        let mut map = Node::block(self.fields, "rlimits");
        for (resource, Rlimit { soft, hard }) in rlimits {
            let mut one = Node::line(self.fields, "rlimits");
            one.value(limit(*soft));
            one.unless("hard", hard, soft, |hard| limit(*hard));
            let mut entry = one.done();
            entry.key = resource.clone().into();
            map.add(entry);
        }
        node.block_of(map);
    }

    pub(super) fn success_codes(&self, node: &mut Node, codes: &BTreeSet<u8>) {
        if node.says(codes, &BTreeSet::from([0])) {
            node.list("success-codes", codes.iter().map(|code| number(u64::from(*code))));
        }
    }
}
