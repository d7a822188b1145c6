//! A scanner that attacks whoever runs it: the file `attack` of the image says how.

use kiln_sdk::Error;
use kiln_sdk::bindings::api::kiln::plugin::content::Tree;
use kiln_sdk::scanner::Document;
use kiln_sdk::scanner::PackageInfo;
use kiln_sdk::scanner::Report;
use kiln_sdk::scanner::Scanner;
use kiln_sdk::types::Attr;

/// The attacker.
#[derive(Debug)]
pub struct Guest;

kiln_sdk::export_scanner!(Guest);

fn document(media_type: &str, size: usize) -> Document {
    Document {
        media_type: media_type.to_owned(),
        data: vec![b'x'; size],
    }
}

fn documents(documents: Vec<Document>) -> Report {
    Report {
        packages: Vec::new(),
        documents,
    }
}

impl Scanner for Guest {
    fn scan(root: &Tree, _: Vec<Attr>) -> Result<Report, Error> {
        let attack = root.read("attack", 100)?;
        Ok(match String::from_utf8_lossy(&attack).trim() {
            "loop" => loop {
                std::hint::black_box(());
            },
            "panic" => panic!("a guest's last words"),
            "error" => return Err(Error::Other("not today".to_owned())),
            "parent" => {
                root.stat("../etc/passwd")?;
                documents(Vec::new())
            }
            "absolute" => {
                root.read("/etc/passwd", 100)?;
                documents(Vec::new())
            }
            "link" => {
                root.read("link", 100)?;
                documents(Vec::new())
            }
            "many" => Report {
                packages: vec![
                    PackageInfo {
                        name: "x".to_owned(),
                        version: "1".to_owned(),
                        purl: "pkg:generic/x@1".to_owned(),
                        licenses: Vec::new(),
                        locations: Vec::new(),
                        relations: Vec::new(),
                        attrs: Vec::new(),
                    };
                    200_001
                ],
                documents: Vec::new(),
            },
            "documents" => documents(vec![document("text/plain", 1); 17]),
            "media-type" => documents(vec![document("text/plain\r\nX: y", 1)]),
            "huge" => documents(vec![document("text/plain", 300 << 20)]),
            _ => documents(Vec::new()),
        })
    }
}
