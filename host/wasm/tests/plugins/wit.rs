//! The contract itself: it parses, and everything in it is documented.

use std::path::Path;

use wit_parser::Docs;
use wit_parser::Resolve;
use wit_parser::TypeDefKind;

#[test]
fn every_item_has_a_doc_comment() {
    let mut resolve = Resolve::default();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    resolve.push_path(dir).unwrap();
    let mut bare = Vec::new();
    let mut check = |docs: &Docs, name: String| {
        if docs.contents.as_ref().is_none_or(|text| text.trim().is_empty()) {
            bare.push(name);
        }
    };
    for (_, world) in &resolve.worlds {
        check(&world.docs, world.name.clone());
    }
    for (_, interface) in &resolve.interfaces {
        let name = interface.name.clone().unwrap_or_default();
        check(&interface.docs, name.clone());
        for (function, value) in &interface.functions {
            check(&value.docs, format!("{name}.{function}"));
        }
        for (ty, id) in &interface.types {
            let ty = format!("{name}.{ty}");
            let def = &resolve.types[*id];
            let part = |part: &str| format!("{ty}.{part}");
            match &def.kind {
                // A `use` is documented where it points.
                TypeDefKind::Type(_) => continue,
                TypeDefKind::Record(record) => {
                    record.fields.iter().for_each(|x| check(&x.docs, part(&x.name)));
                }
                TypeDefKind::Variant(variant) => {
                    variant.cases.iter().for_each(|x| check(&x.docs, part(&x.name)));
                }
                TypeDefKind::Enum(cases) => cases.cases.iter().for_each(|x| check(&x.docs, part(&x.name))),
                TypeDefKind::Flags(flags) => flags.flags.iter().for_each(|x| check(&x.docs, part(&x.name))),
                _ => {}
            }
            check(&def.docs, ty);
        }
    }
    assert_eq!(bare, Vec::<String>::new(), "items without a doc comment");
}

#[test]
fn the_four_worlds_are_there() {
    let mut resolve = Resolve::default();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_path(dir).unwrap();
    for world in [
        "frontend-plugin",
        "cataloger-plugin",
        "scanner-plugin",
        "cache-plugin",
    ] {
        resolve.select_world(&[package], Some(world)).unwrap();
    }
}
