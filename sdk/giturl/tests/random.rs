//! Whatever the text: no panic, no name that leaves its directory, no password that is shown.

use kiln_giturl::GitIdentifier;
use kiln_giturl::GitUrl;
use kiln_giturl::Known;
use kiln_giturl::http_filename;
use kiln_giturl::parse;
use kiln_giturl::redact;
use kiln_giturl::safe_filename;

/// Pieces that mean something in a URL.
const PIECES: [&str; 40] = [
    "https://",
    "http://",
    "ssh://",
    "git://",
    "git@",
    "file://",
    "ext::",
    "github.com/",
    "h",
    "-h",
    "[::1]",
    ":80",
    ":x",
    "/",
    "//",
    "..",
    "/..",
    ".git",
    "#",
    ":",
    "?",
    "&",
    "ref=",
    "tag=",
    "branch=",
    "subdir=",
    "commit=",
    "submodules=",
    "keep-git-dir",
    "=true",
    "=no",
    "%2e%2e",
    "%00",
    "%",
    "@",
    "u:p@",
    "\n",
    "é",
    "--upload-pack=x",
    " ",
];

/// A generator of numbers, seeded so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn no_text_is_too_odd() {
    for seed in 0..40_000 {
        let mut numbers = Numbers(seed);
        let length = 1 + numbers.below(12);
        let text: String = (0..length).map(|_| PIECES[numbers.below(PIECES.len())]).collect();
        for known in [Known::Git, Known::Unknown] {
            let GitUrl::Yes(git) = parse(&text, known) else {
                continue;
            };
            let scheme = git
                .full_url()
                .split_once("://")
                .map(|(scheme, _)| scheme.to_owned());
            let fine = matches!(scheme.as_deref(), None | Some("https" | "http" | "ssh" | "git"));
            assert!(fine, "seed {seed}: {text:?} is called with {}", git.full_url());
            let identifier = git.identifier();
            let again = GitIdentifier::parse(&identifier);
            let escapes =
                |subdir: &str| subdir.split('/').any(|part| part == "..") || subdir.starts_with('/');
            assert!(
                !again.is_ok_and(|id| escapes(&id.subdir)),
                "seed {seed}: {text:?}: {identifier}"
            );
        }
        let name = safe_filename(&http_filename(&text).unwrap_or_default());
        let plain = !name.is_empty() && name != ".." && name != "." && !name.contains('/');
        assert!(plain, "seed {seed}: {text:?} gives the file name {name:?}");
        let shown = redact(&format!("https://user:hunter2@{text}"));
        let part_of_text = text.contains("://") || text.starts_with('@');
        assert!(
            part_of_text || !shown.contains("hunter2@"),
            "seed {seed}: {shown}"
        );
    }
}
