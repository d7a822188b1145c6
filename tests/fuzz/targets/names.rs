//! References, platforms and digests: what is understood is written so that it is understood the same.

use std::fmt::Debug;
use std::fmt::Display;
use std::str::FromStr;

use kiln_image::Digest;
use kiln_image::Platform;
use kiln_image::Reference;

use crate::engine::Target;
use crate::engine::shape;

pub(crate) fn target() -> Target {
    Target {
        name: "names",
        run,
        tokens: &[
            b"docker.io/",
            b"index.docker.io/",
            b"library/",
            b"localhost/",
            b"localhost:5000/",
            b"[::1]:5000/",
            b"example.com/",
            b"UPPER/",
            b":latest",
            b":",
            b"@",
            b"@sha256:",
            b"sha256:",
            b"/",
            b"..",
            b"__",
            b"--",
            b".",
            b"linux/",
            b"windows(10.0.1)/",
            b"macos/",
            b"amd64",
            b"arm64",
            b"arm",
            b"/v7",
            b"/v8",
            b"/v99999999999",
            b"aarch64",
            b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            b"\xc3\xa9",
            b"\0",
            b" ",
        ],
        seeds: Vec::new(),
    }
}

fn run(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return "no text".to_owned();
    };
    let digest = stable::<Digest>(text);
    let reference = stable::<Reference>(text);
    if let Ok(reference) = &reference {
        let short = reference.familiar();
        assert_eq!(
            short.parse().as_ref(),
            Ok(reference),
            "`{text}` in short is `{short}`"
        );
        assert!(reference.name().len() <= 255, "`{text}` is too long");
        assert!(
            reference.tag().is_some() || reference.digest().is_some(),
            "`{text}` names nothing"
        );
    }
    let platform = stable::<Platform>(text);
    if let Ok(platform) = &platform {
        assert_eq!(
            platform.normalised().normalised(),
            platform.normalised(),
            "`{text}`"
        );
        let others = [
            "linux/amd64",
            "linux/amd64/v3",
            "linux/arm",
            "linux/arm64",
            "linux/386",
        ];
        for other in others.map(|other| other.parse::<Platform>().expect("it is one")) {
            let _ = (platform.serves(&other), other.serves(platform));
        }
    }
    let outcome = |error: Option<String>| error.map_or_else(|| "ok".to_owned(), |text| shape(&text));
    [
        outcome(digest.err().map(|e| e.to_string())),
        outcome(reference.err().map(|e| e.to_string())),
        outcome(platform.err().map(|e| e.to_string())),
    ]
    .join("|")
}

/// Parses a text, writes it and parses it again.
fn stable<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Result<T, T::Err>
where
    T::Err: Debug + PartialEq,
{
    let value: T = text.parse()?;
    let written = value.to_string();
    assert_eq!(
        written.parse().as_ref(),
        Ok(&value),
        "`{text}` is written as `{written}`"
    );
    Ok(value)
}
