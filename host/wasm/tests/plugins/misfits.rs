//! Bytes that are no component, and components that do not fit.

use kiln_plugin::PluginError;

use crate::bridge::runtime;
use crate::guest::Guest;
use crate::guest::encode;

fn refused(bytes: &[u8], limits: &str) -> PluginError {
    match runtime(limits).frontend("misfit", bytes, None) {
        Err(error) => error,
        Ok(_) => panic!("expected a refusal"),
    }
}

#[test]
fn what_is_no_component_is_named() {
    let core = wat::parse_str("(module)").unwrap();
    let check = |bytes: &[u8], expect: &str| assert_eq!(refused(bytes, "").to_string(), expect);
    let prefix = "plugin `misfit` is not a WebAssembly component: found";
    check(&core, &format!("{prefix} a core WebAssembly module"));
    check(b"FROM scratch\n", &format!("{prefix} a text file"));
    check(b"", &format!("{prefix} an empty file"));
}

#[test]
fn a_broken_component_does_not_compile() {
    let mut bytes = Guest::default().component();
    bytes.truncate(bytes.len() / 2);
    let error = refused(&bytes, "");
    assert!(matches!(error, PluginError::Compile { .. }), "{error}");
    assert!(
        error.to_string().starts_with("cannot compile plugin `misfit`: "),
        "{error}"
    );
}

#[test]
fn a_component_that_is_too_large_is_not_even_looked_at() {
    let error = refused(&Guest::default().component(), "component=1K").to_string();
    let expect = "plugin `misfit` reached the limit of component size in `load`: 1 KiB \
                  (raise it with `--plugin-limit component=…`)";
    assert_eq!(error, expect);
}

#[test]
fn another_version_is_named_with_the_one_that_is_offered() {
    let module = r#"(module
        (import "kiln:plugin/log@0.3.0" "log" (func (param i32 i32 i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
        (func (export "kiln:plugin/cataloger@0.3.0#interests") (result i32) i32.const 0)
        (func (export "kiln:plugin/cataloger@0.3.0#catalog") (param i32 i32) (result i32) i32.const 0))"#;
    let component = encode(module, "cataloger-plugin", |wit| wit.replace("@0.1.0", "@0.3.0"));
    let error = refused(&component, "").to_string();
    for expect in [
        "plugin `misfit` does not fit the world `frontend-plugin@0.1.0`",
        "plugin wants `kiln:plugin/log@0.3.0`; this host offers 0.1.0",
        "plugin exports `kiln:plugin/cataloger@0.3.0`; the world needs `kiln:plugin/frontend@0.1.0`",
    ] {
        assert!(error.contains(expect), "{error} without {expect}");
    }
}

#[test]
fn another_kind_of_plugin_is_named() {
    let module = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
        (func (export "kiln:plugin/cataloger@0.1.0#interests") (result i32) i32.const 0)
        (func (export "kiln:plugin/cataloger@0.1.0#catalog") (param i32 i32) (result i32) i32.const 0))"#;
    let error = refused(&encode(module, "cataloger-plugin", str::to_owned), "").to_string();
    let expect = "plugin exports `kiln:plugin/cataloger@0.1.0`; the world needs `kiln:plugin/frontend@0.1.0`";
    assert!(error.contains(expect), "{error}");
}

#[test]
fn an_interface_of_another_kind_is_not_lent() {
    let module = r#"(module
        (import "kiln:plugin/objects@0.1.0" "open" (func (param i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
        (func (export "kiln:plugin/frontend@0.1.0#describe") (result i32) i32.const 0)
        (func (export "kiln:plugin/frontend@0.1.0#lower") (param i32) (result i32) i32.const 0)
        (func (export "kiln:plugin/frontend@0.1.0#subrequest") (param i32) (result i32) i32.const 0))"#;
    let greedy = |wit: &str| {
        let world = "world frontend-plugin {";
        wit.replace(world, &format!("{world}\n    import objects;"))
    };
    let error = refused(&encode(module, "frontend-plugin", greedy), "").to_string();
    assert!(
        error.contains("plugin wants `kiln:plugin/objects@0.1.0`"),
        "{error}"
    );
}

#[test]
fn types_that_differ_are_refused() {
    let module = r#"(module
        (import "kiln:plugin/log@0.1.0" "log" (func (param i32 i32 i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
        (func (export "kiln:plugin/frontend@0.1.0#describe") (result i32) i32.const 0)
        (func (export "kiln:plugin/frontend@0.1.0#lower") (param i32) (result i32) i32.const 0)
        (func (export "kiln:plugin/frontend@0.1.0#subrequest") (param i32) (result i32) i32.const 0))"#;
    let grown = |wit: &str| wit.replace("enum level {", "enum level {\n        trace,");
    let error = refused(&encode(module, "frontend-plugin", grown), "").to_string();
    assert!(error.contains("kiln:plugin/log@0.1.0"), "{error}");
}
