//! A cataloger that attacks whoever runs it: with its interests, and as the file `attack` of the image says.

use kiln_sdk::Error;
use kiln_sdk::cataloger::Cataloger;
use kiln_sdk::cataloger::Interest;
use kiln_sdk::cataloger::Matched;
use kiln_sdk::cataloger::PackageInfo;

/// The attacker.
#[derive(Debug)]
pub struct Guest;

kiln_sdk::export_cataloger!(Guest);

fn package(name: &str) -> PackageInfo {
    PackageInfo {
        name: name.to_owned(),
        version: "1".to_owned(),
        purl: format!("pkg:generic/{name}@1"),
        licenses: Vec::new(),
        locations: vec!["attack".to_owned()],
        relations: Vec::new(),
        attrs: Vec::new(),
    }
}

impl Cataloger for Guest {
    fn interests() -> Vec<Interest> {
        // Everything, by all ways out of the tree that a pattern could have, as large as it comes.
        let globs = ["attack", "../**", "/etc/**", "../../../../etc/passwd", "a\0b"];
        vec![Interest {
            id: "everything".to_owned(),
            globs: globs.map(str::to_owned).to_vec(),
            max_size: u64::MAX,
            head: Some(u32::MAX),
        }]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        if let Some(other) = files.iter().find(|file| file.path != "attack") {
            return Err(Error::Other(format!("got `{}`", other.path)));
        }
        let Some(file) = files.first() else {
            return Ok(Vec::new());
        };
        let attack = String::from_utf8_lossy(&file.content);
        Ok(match attack.trim() {
            "loop" => loop {
                std::hint::black_box(());
            },
            "memory" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(vec![1_u8; 1 << 20]);
                    std::hint::black_box(&kept);
                }
            }
            "panic" => panic!("a guest's last words"),
            "error" => return Err(Error::Other("not today".to_owned())),
            "many" => vec![package("x"); 200_001],
            "long" => vec![package(&"x".repeat(70_000))],
            "purl" => vec![PackageInfo {
                purl: "not a purl \u{1b}[2J".to_owned(),
                ..package("odd")
            }],
            "control" => vec![package("odd\u{1b}]0;owned\u{7}\n#9 DONE")],
            "location" => vec![PackageInfo {
                locations: vec!["../../etc/passwd".to_owned(), "/etc/shadow".to_owned()],
                ..package("odd")
            }],
            _ => vec![package("well-behaved")],
        })
    }
}
