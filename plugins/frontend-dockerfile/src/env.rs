//! The environment of a stage: names and values in the order in which they were last set.

/// Variables in the order in which they were last set, as BuildKit keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Env {
    vars: Vec<(String, String)>,
}

impl Env {
    /// Returns the value of a variable.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.vars
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// Sets a variable; it becomes the last.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.remove(key);
        self.vars.push((key.to_owned(), value.into()));
    }

    /// Forgets a variable.
    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(at) = self.vars.iter().rposition(|(k, _)| k == key) {
            self.vars.remove(at);
        }
    }

    /// Returns the names.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.vars.iter().map(|(k, _)| k.as_str())
    }

    /// Returns `name=value` for each variable.
    pub(crate) fn to_list(&self) -> Vec<String> {
        self.vars.iter().map(|(k, v)| format!("{k}={v}")).collect()
    }
}

impl kiln_dockerfile_syntax::shell::Env for Env {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name).map(str::to_owned)
    }
}

/// Sets a variable in an image config's list: in place where the name is there already.
pub(crate) fn set_in_list(list: &mut Vec<String>, key: &str, value: &str) {
    let entry = format!("{key}={value}");
    match list.iter_mut().find(|e| split(e).0 == key) {
        Some(old) => *old = entry,
        None => list.push(entry),
    }
}

/// Splits `name=value`; without `=` the value is empty.
pub(crate) fn split(entry: &str) -> (&str, &str) {
    entry.split_once('=').unwrap_or((entry, ""))
}
