//! Identifiers of git sources: what stands in a build graph.

use crate::text::rooted;
use crate::url::RemoteUrl;
use crate::url::UrlError;

/// A git source as its identifier names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GitIdentifier {
    /// What git is called with, unless the source's attributes say more.
    pub remote: String,
    /// Branch, tag or commit; empty is the default branch.
    pub reference: String,
    /// Directory inside the repository, relative and without `..`; empty is the root.
    pub subdir: String,
}

impl GitIdentifier {
    /// Reads an identifier: a URL with `#ref:subdir`.
    ///
    /// # Errors
    /// When it names no repository.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let with_scheme =
            text.contains("://") || text.split_once(':').is_some_and(|(head, _)| head.contains('@'));
        let url = if with_scheme {
            RemoteUrl::parse(text)?
        } else {
            RemoteUrl::parse(&format!("https://{text}"))?
        };
        let (reference, subdir) = url.fragment.split_once(':').unwrap_or((&url.fragment, ""));
        Ok(Self {
            reference: reference.to_owned(),
            subdir: rooted(subdir).trim_start_matches('/').to_owned(),
            remote: url.remote,
        })
    }
}
