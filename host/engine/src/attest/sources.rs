//! What a build used: materials.

use std::collections::BTreeMap;

use kiln_attest::Material;
use kiln_attest::image_purl;
use kiln_fetch::GitSource;
use kiln_fetch::HttpSource;
use kiln_graph::Source;
use kiln_image::Digest;
use kiln_image::Platform;
use kiln_image::Reference;

use crate::build::BuildContext;
use crate::images::ImageId;

/// What became of asking for a source's material.
pub(super) enum Found {
    Image(Material),
    Git(Material),
    Http(Material),
    /// Files of the user's machine.
    Local(String),
    /// It cannot be told which.
    Unknown(String),
}

/// Returns what a source is.
pub(super) async fn material(build: &BuildContext, source: &Source, platform: &Platform) -> Found {
    let identifier = source.identifier.as_str();
    let unknown = || Found::Unknown(without_credentials(identifier));
    match identifier.split_once("://") {
        Some(("local", name)) => Found::Local(name.to_owned()),
        Some(("docker-image" | "oci-layout", rest)) => {
            let Ok(id) = identifier.parse::<ImageId>() else {
                return unknown();
            };
            let Ok(image) = build.image(&id, platform, "", None).await else {
                return unknown();
            };
            let kind = match id {
                ImageId::Registry(_) => "docker",
                ImageId::Layout { .. } => "oci",
            };
            let pinned = rest.parse::<Reference>().ok();
            let digest = pinned
                .as_ref()
                .and_then(|r| r.digest().copied())
                .unwrap_or(image.digest);
            let uri = match pinned {
                Some(reference) => image_purl(kind, &reference, Some(platform)),
                None => format!("pkg:{kind}/{rest}"),
            };
            let digest = BTreeMap::from([("sha256".to_owned(), digest.hex())]);
            Found::Image(Material { uri, digest })
        }
        Some(("git", _)) => git(build, source).await.map_or_else(unknown, Found::Git),
        Some(("http" | "https", _)) => http(build, source).await.map_or_else(unknown, Found::Http),
        _ => unknown(),
    }
}

/// The build has asked already: nothing goes over the network here.
async fn git(build: &BuildContext, source: &Source) -> Option<Material> {
    let parsed = GitSource::parse(&source.identifier, &source.attrs).ok()?;
    let commit = build
        .commit(&parsed, Digest::of(&source.identifier))
        .await
        .ok()?
        .commit;
    let algorithm = if commit.len() > 40 { "sha256" } else { "sha1" };
    let full = source.attrs.get("git.fullurl").filter(|url| !url.is_empty());
    let (bare, fragment) = match source.identifier.split_once('#') {
        Some((bare, fragment)) => (bare, Some(fragment)),
        None => (source.identifier.as_str(), None),
    };
    let mut uri = without_credentials(full.map_or(bare, String::as_str));
    if let Some(fragment) = fragment {
        uri.push('#');
        uri.push_str(fragment);
    }
    let digest = BTreeMap::from([(algorithm.to_owned(), commit)]);
    Some(Material { uri, digest })
}

async fn http(build: &BuildContext, source: &Source) -> Option<Material> {
    let parsed = HttpSource::parse(&source.identifier, &source.attrs).ok()?;
    let file = build
        .http_file(&parsed, Digest::of(&source.identifier))
        .await
        .ok()?;
    let (algorithm, hex) = file.digest.split_once(':')?;
    Some(Material {
        uri: without_credentials(&source.identifier),
        digest: BTreeMap::from([(algorithm.to_owned(), hex.to_owned())]),
    })
}

/// Takes a user and a password out of a URL.
pub(super) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        // The name that ssh logs in with is no secret.
        Some(at) if !rest[..at].contains(':') && matches!(scheme, "ssh" | "git") => url.to_owned(),
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_told() {
        let check = |url: &str, expect: &str| assert_eq!(without_credentials(url), expect);
        check("https://u:p@example.com/a@b", "https://example.com/a@b");
        check("https://token@example.com/a", "https://example.com/a");
        check("https://example.com/a@b", "https://example.com/a@b");
        check("ssh://git@example.com/a", "ssh://git@example.com/a");
        check("ssh://git:pw@example.com/a", "ssh://example.com/a");
    }
}
