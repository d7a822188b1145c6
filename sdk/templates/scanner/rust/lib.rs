//! A scanner for `vendored.txt`: lines with name, version and licence of software that was copied into a tree.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "scanner-plugin" });
}

use bindings::exports::kiln::plugin::scanner::*;
use bindings::kiln::plugin::log;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

impl Guest for Plugin {
    fn scan(root: &Tree, _options: Vec<Attr>) -> Result<Report, Error> {
        // A panic's text reaches the user this way.
        std::panic::set_hook(Box::new(|info| log::log(log::Level::Error, &info.to_string())));
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = root.glob(&["**/vendored.txt".to_owned()], after.as_deref(), 0)?;
            let Some(last) = page.last() else {
                return Ok(Report { packages: found, documents: vec![] });
            };
            after = Some(last.path.clone());
            for entry in page.iter().filter(|entry| entry.size <= LARGEST) {
                found.extend(packages(&entry.path, &root.read(&entry.path, LARGEST)?));
            }
        }
    }
}

fn packages(path: &str, content: &[u8]) -> Vec<PackageInfo> {
    let text = String::from_utf8_lossy(content);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| package(path, line)).collect()
}

fn package(path: &str, line: &str) -> Option<PackageInfo> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next().unwrap_or_default());
    Some(PackageInfo {
        name: name.into(),
        version: version.into(),
        purl: format!("pkg:generic/{name}@{version}"),
        licenses: words.map(String::from).collect(),
        locations: vec![path.into()],
        relations: vec![],
        attrs: vec![],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_packages() {
        let found = packages("vendored.txt", include_bytes!("../tests/hello/input/third_party/vendored.txt"));
        let names: Vec<&str> = found.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["zlib", "lua"]);
    }
}
