//! Finds packages inside programs: Go modules, Rust crates, and interpreters and servers that were copied in by hand.
//!
//! One cataloger for all three, so that a program crosses the border once. Knows nothing of how files come here.

mod elf;
mod go;
mod known;
mod owned;
mod rust;
mod words;

use kiln_sdk::Error;
use kiln_sdk::cataloger::Cataloger;
use kiln_sdk::cataloger::Interest;
use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;
use kiln_sdk::packages::OsRelease;

use crate::elf::Elf;
use crate::owned::Owned;

/// The cataloger `binary`.
#[derive(Debug, Clone, Copy)]
pub struct Binary;

const PROGRAM: &str = "program";
const OWNED: &str = "owned";
const OS: &str = "os";

/// Programs have no extension, or are where programs are. Later patterns count more.
const PROGRAMS: [&str; 19] = [
    "**",
    "!**/*.*",
    "!usr/share",
    "!usr/include",
    "!var",
    "!etc",
    "!dev",
    "!proc",
    "!sys",
    "!**/node_modules",
    "!**/dist-packages",
    "!**/site-packages",
    // Programs that come as packages of PyPI.
    "**/site-packages/*/*",
    "!**/site-packages/*/*.*",
    "**/bin/*",
    "**/sbin/*",
    "**/libexec/**",
    "!**/*.sh",
    "!**/*.py",
];

impl Cataloger for Binary {
    fn interests() -> Vec<Interest> {
        let interest = |id: &str, globs: &[&str], max_size: u64| Interest {
            id: id.to_owned(),
            globs: globs.iter().map(|&glob| glob.to_owned()).collect(),
            max_size,
            head: None,
        };
        let programs: Vec<&str> = PROGRAMS.into_iter().chain(known::LIBRARIES).collect();
        vec![
            interest(PROGRAM, &programs, 192 << 20),
            interest(OWNED, &Owned::PATHS, 8 << 20),
            interest(OS, &OsRelease::PATHS, 64 << 10),
        ]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        let mut found = Vec::new();
        let mut by_words = Vec::new();
        for file in files.iter().filter(|file| file.interest == PROGRAM) {
            let Some(elf) = Elf::new(&file.content) else {
                continue;
            };
            match go::build(&elf) {
                Some(build) => found.extend(build.packages(&file.path)),
                None => found.extend(rust::packages(&elf, &file.path).unwrap_or_default()),
            }
            by_words.extend(known::program(&file.path, &file.content));
        }
        if !by_words.is_empty() {
            let owned = Owned::find(&files, &by_words, &OsRelease::find(&files));
            found.extend(by_words.into_iter().filter(|package| !owned.has(package)));
        }
        Ok(found)
    }
}

kiln_sdk::export_cataloger!(Binary);

#[cfg(test)]
mod tests;
