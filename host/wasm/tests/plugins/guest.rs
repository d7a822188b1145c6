//! Makes components of core modules in text form, with the repository's WIT.

use std::path::Path;

use wit_component::ComponentEncoder;
use wit_component::StringEncoding;
use wit_component::embed_component_metadata;
use wit_parser::Resolve;

const EXPORT: &str = "kiln:plugin/frontend@0.1.0";

/// A frontend in WebAssembly text. The parts stand between the module's fixed ones.
#[derive(Default, Clone, Copy)]
pub(crate) struct Guest<'a> {
    /// Imports.
    pub(crate) imports: &'a str,
    /// More fields of the module.
    pub(crate) fields: &'a str,
    /// Body of `describe`; returns a pointer.
    pub(crate) describe: &'a str,
    /// Body of `lower`; local 0 points at the arguments, the borrowed tree at offset 100.
    pub(crate) lower: &'a str,
    /// Body of `subrequest`.
    pub(crate) subrequest: &'a str,
}

/// A pointer to zeros: an empty success of every export.
const ZEROS: &str = "i32.const 1024";

impl Guest<'_> {
    /// Returns the component.
    pub(crate) fn component(&self) -> Vec<u8> {
        self.component_with(str::to_owned)
    }

    /// Returns the component, with the WIT changed first.
    pub(crate) fn component_with(&self, change: impl Fn(&str) -> String) -> Vec<u8> {
        let body = |body: &'static str, given: &str| match given.is_empty() {
            true => body.to_owned(),
            false => given.to_owned(),
        };
        let (imports, fields) = (self.imports, self.fields);
        let (describe, lower, subrequest) = (
            body(ZEROS, self.describe),
            body(ZEROS, self.lower),
            body(ZEROS, self.subrequest),
        );
        encode(
            &format!(
                r#"(module
                (import "kiln:plugin/content@0.1.0" "[resource-drop]tree" (func $drop (param i32)))
                {imports}
                (memory (export "memory") 2)
                (global $next (mut i32) (i32.const 65536))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    global.get $next
                    local.get 3
                    i32.const 7
                    i32.add
                    i32.const -8
                    i32.and
                    global.get $next
                    i32.add
                    global.set $next)
                {fields}
                (func (export "{EXPORT}#describe") (result i32) {describe})
                (func $lower (param i32) (result i32) {lower})
                (func (export "{EXPORT}#lower") (param i32) (result i32)
                    (call $lower (local.get 0))
                    (call $drop (i32.load offset=100 (local.get 0))))
                (func $subrequest (param i32) (result i32) {subrequest})
                (func (export "{EXPORT}#subrequest") (param i32) (result i32)
                    (call $subrequest (local.get 0))
                    (call $drop (i32.load offset=108 (local.get 0))))
            )"#
            ),
            "frontend-plugin",
            change,
        )
    }
}

/// Makes a component of a module for a world, with the WIT changed first.
pub(crate) fn encode(module: &str, world: &str, change: impl Fn(&str) -> String) -> Vec<u8> {
    let mut module = wat::parse_str(module).expect("the module is written well");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut text = String::from("package kiln:plugin@0.1.0;\n");
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wit"))
        .collect();
    names.sort();
    for path in names {
        let file = std::fs::read_to_string(path).unwrap();
        text += file.split_once(';').unwrap().1;
    }
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("plugin.wit", &change(&text))
        .expect("the WIT parses");
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default().module(&module).unwrap();
    encoder.encode().expect("the module fits the world")
}
