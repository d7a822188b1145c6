//! What is seen of a component from outside.

use kiln_plugin::Grant;
use kiln_plugin::Manifest;
use kiln_plugin::PluginKind;
use kiln_wasm::componentize;
use kiln_wasm::embed_manifest;
use kiln_wasm::inspect;

use crate::bridge::runtime;
use crate::guest::Guest;

#[test]
fn a_component_shows_what_it_imports_exports_and_says() {
    let component = Guest::default().component();
    let seen = inspect("a", &component).unwrap();
    assert_eq!(seen.kind, Some(PluginKind::Frontend));
    assert_eq!(seen.world(), Some("kiln:plugin/frontend@0.1.0"));
    assert!(
        seen.imports.contains(&"kiln:plugin/content@0.1.0".to_owned()),
        "{seen:?}"
    );
    assert_eq!(seen.manifest, None);

    let manifest = Manifest {
        name: "a".into(),
        asks: vec![Grant::Http("example.com".into())],
        ..Manifest::default()
    };
    let with = embed_manifest("a", &component, &manifest).unwrap();
    let seen = inspect("a", &with).unwrap();
    assert_eq!(seen.manifest, Some(manifest.clone()));
    assert_eq!(componentize("a", &with).unwrap(), with);
    runtime("")
        .frontend("a", &with, None)
        .expect("a section of ours changes nothing");
    let twice = embed_manifest("a", &with, &manifest).unwrap_err().to_string();
    assert!(twice.contains("section `kiln:manifest` already"), "{twice}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let component = Guest::default().component();
    let check = |bytes: &[u8], expect: &str| {
        let error = inspect("a", bytes).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(b"", "an empty file");
    check(&component[..component.len() - 1], "the component is malformed");
    let section = |json: &str| {
        let body = [&[13][..], b"kiln:manifest", json.as_bytes()].concat();
        [&component[..], &[0, u8::try_from(body.len()).unwrap()], &body].concat()
    };
    check(&section("{"), "`kiln:manifest` cannot be read");
    check(
        &section(r#"{"asks":["everything"]}"#),
        "unknown grant `everything`",
    );
    check(&section(r#"{"granted":[]}"#), "unknown field `granted`");
}
