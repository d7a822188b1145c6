//! A cataloger for `vendored.txt`: lines with name, version and licence of software that was copied into a tree.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "cataloger-plugin" });
}

use bindings::exports::kiln::plugin::cataloger::*;
use bindings::kiln::plugin::log;

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

impl Guest for Plugin {
    fn interests() -> Vec<Interest> {
        let globs = vec!["**/vendored.txt".to_owned()];
        vec![Interest { id: "vendored".into(), globs, max_size: 1 << 20, head: None }]
    }

    fn catalog(files: Vec<Matched>) -> Result<Vec<PackageInfo>, Error> {
        // A panic's text reaches the user this way.
        std::panic::set_hook(Box::new(|info| log::log(log::Level::Error, &info.to_string())));
        Ok(files.iter().flat_map(|file| packages(&file.path, &file.content)).collect())
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
        let found = packages("vendored.txt", b"# a\nzlib 1.3.1 Zlib\n\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].purl, "pkg:generic/zlib@1.3.1");
    }
}
