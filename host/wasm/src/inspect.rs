//! What can be seen of a component without compiling it, and how a component is made of a module.
//!
//! Only the outermost level is read: what a component imports and exports is there, and nothing inside changes it.

use kiln_image::Digest;
use kiln_plugin::Inspection;
use kiln_plugin::Manifest;
use kiln_plugin::PluginError;
use kiln_plugin::PluginKind;
use wasmparser::Parser;
use wasmparser::Payload;
use wit_component::ComponentEncoder;

use crate::component::not_a_component;

/// Looks at a component.
///
/// # Errors
/// The bytes are not a component, or what it says of itself cannot be read.
pub fn inspect(name: &str, bytes: &[u8]) -> Result<Inspection, PluginError> {
    if let Some(found) = not_a_component(bytes) {
        let plugin = name.to_owned();
        return Err(PluginError::NotAComponent { plugin, found });
    }
    let mut seen = Inspection {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        kind: None,
        imports: Vec::new(),
        exports: Vec::new(),
        manifest: None,
    };
    read(bytes, &mut seen).map_err(|message| PluginError::Open {
        plugin: name.to_owned(),
        message,
    })?;
    seen.kind = PluginKind::ALL.into_iter().find(|kind| {
        let export = format!("kiln:plugin/{}@", kind.name());
        seen.exports.iter().any(|name| name.starts_with(&export))
    });
    Ok(seen)
}

fn read(bytes: &[u8], seen: &mut Inspection) -> Result<(), String> {
    let text = |error: wasmparser::BinaryReaderError| format!("the component is malformed: {error}");
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(text)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    seen.imports.push(import.map_err(text)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    seen.exports.push(export.map_err(text)?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if depth == 0 && section.name() == Manifest::SECTION => {
                if seen.manifest.is_some() {
                    return Err(format!("it has several sections `{}`", Manifest::SECTION));
                }
                seen.manifest = Some(manifest(section.data())?);
            }
            _ => {}
        }
    }
    Ok(())
}

fn manifest(data: &[u8]) -> Result<Manifest, String> {
    let name = Manifest::SECTION;
    if data.len() > Manifest::LARGEST {
        return Err(format!(
            "its section `{name}` has {} bytes, more than {}",
            data.len(),
            Manifest::LARGEST
        ));
    }
    serde_json::from_slice(data).map_err(|error| format!("its section `{name}` cannot be read: {error}"))
}

/// Makes a component of a core module that carries its world, as `wit-bindgen` leaves it. A component stays as it is.
///
/// # Errors
/// The module does not fit its world, or has none.
pub fn componentize(name: &str, module: &[u8]) -> Result<Vec<u8>, PluginError> {
    if not_a_component(module).is_none() {
        return Ok(module.to_vec());
    }
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| PluginError::Open {
        plugin: name.to_owned(),
        message: format!("cannot make a component of the module: {error:#}"),
    })
}

/// Appends what a plugin says of itself to a component that does not say it yet.
///
/// # Errors
/// The bytes are not a component, or have such a section.
pub fn embed_manifest(name: &str, component: &[u8], manifest: &Manifest) -> Result<Vec<u8>, PluginError> {
    if inspect(name, component)?.manifest.is_some() {
        return Err(PluginError::Open {
            plugin: name.to_owned(),
            message: format!("it has a section `{}` already", Manifest::SECTION),
        });
    }
    let data = serde_json::to_vec(manifest).expect("a manifest is written as JSON");
    let mut body = Vec::new();
    leb(Manifest::SECTION.len(), &mut body);
    body.extend(Manifest::SECTION.as_bytes());
    body.extend(data);
    let mut out = component.to_vec();
    out.push(0);
    leb(body.len(), &mut out);
    out.extend(body);
    Ok(out)
}

/// Writes a number as LEB128.
fn leb(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}
