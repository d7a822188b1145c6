//! BuildKit's tables of single functions: environment lists, paths, platforms.

use crate::env::set_in_list;
use crate::options::Options;
use crate::paths;
use serde_json::Value;
use std::path::Path;

fn table(name: &str) -> Value {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = std::env::var_os("KILN_SHARED").map_or_else(|| here.join("../../../shared"), Into::into);
    let path = root.join("conformance").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| {
        panic!(
            "`{}`: {e}: set KILN_SHARED to the directory with the data",
            path.display()
        )
    });
    serde_json::from_str(&text).expect("the table is JSON")
}

fn rows(value: &Value) -> &[Value] {
    let rows = value.as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(!rows.is_empty(), "a table without rows");
    rows
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|item| text(item).to_owned()).collect()
}

#[test]
fn variables_are_set_in_lists() {
    for row in rows(&table("dockerfile2llb/convert_tables.json")["add_env"]) {
        let mut list = texts(&row["env"]);
        set_in_list(&mut list, text(&row["k"]), text(&row["v"]));
        assert_eq!(list, texts(&row["out"]), "{row}");
    }
}

#[test]
fn working_directories_are_joined() {
    for group in rows(&table("solver/solver_tables.json")["normalize_workdir"]) {
        for row in rows(group) {
            let given = (text(&row["currentWorkdir"]), text(&row["newWorkDir"]));
            let got = paths::normalize(given.0, given.1, "linux", paths::Slash::Drop);
            assert_eq!(got.as_deref(), Ok(text(&row["desiredResult"])), "{row}");
        }
    }
}

#[test]
fn paths_of_windows_are_absolute() {
    for row in rows(&table("solver/solver_tables.json")["is_abs"]) {
        let got = paths::is_abs(text(&row["path"]), "windows");
        assert_eq!(Some(got), row["desiredResult"].as_bool(), "{row}");
    }
}

/// The table names platforms by letters: what is asked for is built on what is there, and what is not asked for is what
/// the machine has.
#[test]
fn targets_follow_the_machine() {
    for row in rows(&table("dockerfile2llb/convert_tables.json")["build_target_platform"]) {
        let platform = |name: &str| crate::api::Platform {
            os: "linux".to_owned(),
            architecture: name.to_lowercase(),
            variant: None,
            os_version: None,
        };
        let mut request = crate::api::Request::named("Dockerfile");
        let machine = row["build_platforms"][0].as_str().unwrap_or_default();
        request.build_platform = platform(machine);
        request.platforms = row["target"].as_str().map(platform).into_iter().collect();
        let options = Options::new(&request).expect("a request");
        assert_eq!(options.build_platform(), platform(machine), "{row}");
        assert_eq!(
            Some(options.platforms.is_empty()),
            row["implicit"].as_bool(),
            "{row}"
        );
    }
}
