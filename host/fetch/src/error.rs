//! Why something cannot be fetched.

use std::io;
use std::path::PathBuf;

use kiln_giturl::UrlError;

/// Why something cannot be fetched. URLs in the texts have no passwords.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The client cannot be set up.
    #[error("cannot set up the http client: {0}")]
    Setup(String),
    /// An attribute of a source has no meaning.
    #[error("`{value}` is not a value of `{key}` (expected {expected})")]
    Attribute {
        /// The attribute.
        key: String,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The user wants no server to be asked.
    #[error("failed to fetch {0}: no server is asked (`--offline`)")]
    Offline(String),
    /// A secret that cannot be sent in a header.
    #[error("the secret `{0}` cannot be sent (expected one line of visible characters)")]
    Secret(String),
    /// A secret that is named and not given.
    #[error("failed to retrieve HTTP auth secret {0}: not found (give it with `--secret id={0},src=FILE`)")]
    SecretMissing(String),
    /// A URL that is not fetched.
    #[error("invalid URL `{url}`: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// Why not.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("failed to fetch {url}: {reason}")]
    Connect {
        /// The URL.
        url: String,
        /// Why.
        reason: String,
    },
    /// A request may not go where it leads.
    #[error("failed to fetch {url}: {reason}")]
    Refused {
        /// The URL, without credentials.
        url: String,
        /// Why not, and what allows it.
        reason: String,
    },
    /// The server refuses.
    #[error("failed to fetch {url}: invalid response status {status}{hint}")]
    Status {
        /// The URL.
        url: String,
        /// HTTP status.
        status: u16,
        /// What could help, with a space before it, or nothing.
        hint: String,
    },
    /// The server says that a file did not change that nobody has.
    #[error("failed to fetch {url}: invalid not-modified ETag: {etag}")]
    NotModified {
        /// The URL.
        url: String,
        /// What the server says.
        etag: String,
    },
    /// A redirect that is not followed.
    #[error("failed to fetch {url}: refused to follow the redirect to {to}: {reason}")]
    Redirect {
        /// The URL.
        url: String,
        /// Where it leads.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// No byte arrived for too long.
    #[error("failed to fetch {url}: the server sent nothing for {seconds} s")]
    Stalled {
        /// The URL.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// It takes too long.
    #[error("failed to fetch {what}: not done after {seconds} s")]
    Time {
        /// The URL.
        what: String,
        /// How long was waited.
        seconds: u64,
    },
    /// More than the bound.
    #[error("failed to fetch {what}: more than {limit} {unit}")]
    TooLarge {
        /// The URL.
        what: String,
        /// The bound.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// The file is not the one that was asked for.
    #[error(
        "digest mismatch {actual}: {expected} (`{url}` has the first, the checksum that is asked for is the second)"
    )]
    Digest {
        /// The URL.
        url: String,
        /// What came.
        actual: String,
        /// What was asked for.
        expected: String,
    },
    /// A file or directory of this machine fails.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A git URL that is not used.
    #[error("invalid git URL `{url}`")]
    GitUrl {
        /// The URL.
        url: String,
        /// Why not.
        #[source]
        source: UrlError,
    },
    /// A git URL whose parts could be taken for something else.
    #[error("invalid git URL `{url}`: {reason}")]
    GitRemote {
        /// The URL.
        url: String,
        /// Why not.
        reason: &'static str,
    },
    /// A name that is no branch, tag or commit.
    #[error("invalid git ref `{0}` (expected a branch, a tag or a commit)")]
    GitName(String),
    /// A checksum that is no commit.
    #[error("invalid checksum {0} for Git URL, expected hex commit hash")]
    GitChecksum(String),
    /// The repository has another commit.
    #[error("expected checksum to match {expected}, got {actual}")]
    GitMismatch {
        /// What was asked for.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// There is no such branch or tag.
    #[error("repository does not contain ref {reference}, output: {output:?} (in {remote})")]
    GitNoRef {
        /// The repository.
        remote: String,
        /// What was asked for.
        reference: String,
        /// What git said.
        output: String,
    },
    /// The repository's default branch cannot be found.
    #[error("could not find default branch for repository: {0} (name a branch with `#BRANCH`)")]
    GitNoHead(String),
    /// git cannot be run.
    #[error("cannot run `{}` (git is needed for git sources: install the package `git`)", program.display())]
    GitProgram {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// git failed.
    #[error("failed to {action} {remote}: git stderr:\n{stderr}: {status}{hint}")]
    Git {
        /// What was to be done, such as `fetch remote`.
        action: &'static str,
        /// The repository.
        remote: String,
        /// The end of what git said.
        stderr: String,
        /// How it ended.
        status: String,
        /// What could help, with a space before it, or nothing.
        hint: String,
    },
    /// A directory of the repository that cannot be used.
    #[error("invalid subdir /{subdir}: {reason} (in {remote})")]
    GitSubdir {
        /// The repository.
        remote: String,
        /// The directory.
        subdir: String,
        /// Why not.
        reason: String,
    },
    /// A submodule that is not fetched.
    #[error(
        "failed to update submodules for {remote}: submodule `{path}`: {reason} (leave them out with `?submodules=false`)"
    )]
    GitSubmodule {
        /// The repository.
        remote: String,
        /// The submodule.
        path: String,
        /// Why not.
        reason: String,
    },
    /// An SSH agent that was not lent.
    #[error(
        "unset ssh forward key {0}: no SSH key \"{0}\" forwarded from the client (give it with `--ssh {0}`)"
    )]
    SshMissing(String),
}

impl FetchError {
    /// Returns true when another try may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Stalled { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Makes the error of a file of this machine.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
