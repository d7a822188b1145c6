//! Package URLs of images, as BuildKit writes them.

use kiln_image::Platform;
use kiln_image::Reference;

/// Returns the package URL of an image that was used: `pkg:docker/name@tag?platform=os%2Farch`. With a tag, the
/// digest is left to the field beside it.
pub fn image_purl(kind: &str, reference: &Reference, platform: Option<&Platform>) -> String {
    let familiar = reference.familiar();
    let bare = familiar
        .split_once('@')
        .map_or(familiar.as_str(), |(name, _)| name);
    let slash = bare.rfind('/').map_or(0, |at| at + 1);
    let name = match bare[slash..].find(':') {
        Some(at) => &bare[..slash + at],
        None => bare,
    };
    let name: Vec<String> = name.split('/').map(escape).collect();
    let mut url = format!("pkg:{kind}/{}", name.join("/"));
    if let Some(tag) = reference.tag() {
        url.push('@');
        url.push_str(&escape(tag));
    }
    let mut qualifiers = Vec::new();
    if let (None, Some(digest)) = (reference.tag(), reference.digest()) {
        qualifiers.push(format!("digest={digest}"));
    }
    if let Some(platform) = platform {
        qualifiers.push(format!("platform={}", escape(&platform.to_string())));
    }
    if !qualifiers.is_empty() {
        url.push('?');
        url.push_str(&qualifiers.join("&"));
    }
    url
}

/// Returns the name under which an image is a statement's subject.
pub fn subject_name(reference: &Reference, platform: &Platform) -> String {
    image_purl("docker", reference, Some(platform))
}

/// Escapes as the package URL specification asks: everything but letters, digits and `.-_~`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_buildkits_names() {
        let check = |text: &str, expect: &str| {
            let reference: Reference = text.parse().unwrap();
            let platform = Platform::new("linux", "arm", Some("v7"));
            assert_eq!(image_purl("docker", &reference, Some(&platform)), expect);
        };
        check(
            "127.0.0.1:15000/base:1.0",
            "pkg:docker/127.0.0.1%3A15000/base@1.0?platform=linux%2Farm%2Fv7",
        );
        check(
            "example.com/app:1",
            "pkg:docker/example.com/app@1?platform=linux%2Farm%2Fv7",
        );
        check("alpine", "pkg:docker/alpine@latest?platform=linux%2Farm%2Fv7");
        let digest = "sha256:".to_owned() + &"a".repeat(64);
        check(
            &format!("alpine@{digest}"),
            &format!("pkg:docker/alpine?digest={digest}&platform=linux%2Farm%2Fv7"),
        );
        check(
            &format!("alpine:3@{digest}"),
            "pkg:docker/alpine@3?platform=linux%2Farm%2Fv7",
        );
    }
}
