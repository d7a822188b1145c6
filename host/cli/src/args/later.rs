//! Flags of `docker buildx build` that are known and not done yet: they are refused by name, never ignored; a value
//! that means "off" is what happens anyway. And flags that buildx itself only warns of: so does this command.

use clap::Args;

use super::ArgError;

/// Flags that are not supported yet.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LaterArgs {
    #[arg(long, hide = true)]
    grant: Vec<String>,
    #[arg(long, hide = true)]
    builder: Option<String>,
    #[arg(long, hide = true)]
    isolation: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    compress: Option<bool>,
    #[arg(long, hide = true, value_delimiter = ',')]
    security_opt: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    squash: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    force_rm: Option<bool>,
}

impl LaterArgs {
    /// Checks that none of them asks for anything.
    ///
    /// # Errors
    /// Names the first that does.
    pub(crate) fn refuse(&self) -> Result<(), ArgError> {
        let asked = [
            ("--grant", !self.grant.is_empty()),
            (
                "--builder",
                self.builder
                    .as_deref()
                    .is_some_and(|value| !matches!(value, "" | "default")),
            ),
        ];
        match asked.iter().find(|(_, is_asked)| *is_asked) {
            Some((flag, _)) => Err(ArgError::not_yet(&format!("`{flag}`"))),
            None => Ok(()),
        }
    }

    /// Returns what is said of flags that buildx takes and does not use, and neither does this command: a build has the
    /// same result with them and without.
    pub(crate) fn unused(&self) -> Vec<&'static str> {
        let asked = [
            (
                self.isolation
                    .as_deref()
                    .is_some_and(|value| !matches!(value, "" | "default")),
                "isolation flag is deprecated with BuildKit",
            ),
            (
                !self.security_opt.is_empty(),
                "security-opt flag is deprecated. \"RUN --security=insecure\" should be used with BuildKit",
            ),
            (
                self.squash == Some(true),
                "experimental flag squash is removed with BuildKit. You should squash inside build using a multi-stage Dockerfile for efficiency",
            ),
            (
                self.compress == Some(true),
                "compress flag has no effect: the context is read in place",
            ),
            (
                self.rm == Some(false),
                "rm flag has no effect: a step leaves no container behind",
            ),
        ];
        asked
            .iter()
            .filter(|(is_asked, _)| *is_asked)
            .map(|(_, text)| *text)
            .collect()
    }
}
