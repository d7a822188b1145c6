//! `kiln inspect`.

mod shape;
mod table;
mod template;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use kiln_engine::InspectDetail;
use kiln_engine::Inspected;
use kiln_engine::InspectedImage;
use kiln_engine::Layout;
use kiln_image::Descriptor;
use serde_json::Value;
use serde_json::json;

use self::template::Parsed;
use super::Session;
use super::print;
use super::reference;
use crate::args::layout_path;
use crate::exit::Failure;
use crate::progress::bytes;
use crate::progress::printable;
use crate::report::Report;
use crate::wiring::Wanted;

/// What `kiln inspect` takes.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Name of an image, oci-layout://PATH, with :TAG or @DIGEST, or the path of an OCI archive
    #[arg(value_name = "REF")]
    reference: String,
    /// Print the manifest or index as it is stored
    #[arg(long, conflicts_with = "format")]
    raw: bool,
    /// Go template with .Name, .Manifest, .Image, .Provenance, .SBOM and the function json; `{{.Manifest}}` is the
    /// table of `docker buildx imagetools inspect`; or text, or json
    #[arg(long, value_name = "TEMPLATE", default_value = "text")]
    format: String,
    /// Registry that may speak plain HTTP or have a certificate that nobody vouches for
    #[arg(long = "insecure-registry", value_name = "HOST")]
    insecure_registries: Vec<String>,
}

/// What comes before the path of a layout.
pub(super) const SCHEME: &str = "oci-layout://";

/// How it is shown.
enum Format {
    /// The table of `docker buildx imagetools inspect`.
    Table,
    /// A summary with layers.
    Text,
    /// Everything as JSON.
    Json,
    /// A template.
    Template(Parsed),
}

impl Format {
    fn of(text: &str) -> Result<Self, Failure> {
        Ok(match text {
            "" => Self::Table,
            "text" => Self::Text,
            "json" => Self::Json,
            text if template::is_table(text) => Self::Table,
            text => Self::Template(Parsed::new(text)?),
        })
    }

    fn detail(&self) -> InspectDetail {
        match self {
            Self::Template(_) => InspectDetail::Attestations,
            Self::Table | Self::Text | Self::Json => InspectDetail::Manifests,
        }
    }

    fn show(&self, name: &str, found: &Inspected) -> Result<String, Failure> {
        Ok(match self {
            Self::Table => table::table(found),
            Self::Text => summary(found),
            Self::Json => format!("{:#}\n", as_json(found)),
            Self::Template(template) => template.fill(name, found)?,
        })
    }
}

/// Shows what an image is made of.
pub(crate) fn run(args: &InspectArgs) -> Result<u8, Failure> {
    let format = Format::of(&args.format)?;
    let session = Session::open()?;
    let runtime = super::runtime()?;
    let _entered = runtime.enter();
    let insecure_registries = args.insecure_registries.clone();
    let engine = session.engine(&Wanted {
        insecure_registries,
        ..Wanted::default()
    })?;
    let found = match layout(&args.reference, &session) {
        Some((path, selector)) => {
            let opened = Layout::open(&path).map_err(|e| Failure::failed(Report::of(&e)))?;
            runtime.block_on(Box::pin(engine.inspect_layout(
                &opened,
                selector,
                format.detail(),
            )))?
        }
        None => runtime.block_on(Box::pin(
            engine.inspect(&reference(&args.reference)?, format.detail()),
        ))?,
    };
    if args.raw {
        print(&String::from_utf8_lossy(&found.raw))?;
    } else {
        print(&format.show(&args.reference, &found)?)?;
    }
    Ok(0)
}

/// Tells a layout from a name: by its scheme, or because it is a path that is there.
pub(super) fn layout<'a>(text: &'a str, session: &Session) -> Option<(std::path::PathBuf, Option<&'a str>)> {
    if let Some(rest) = text.strip_prefix(SCHEME) {
        let (path, selector) = layout_path(rest);
        return Some((session.around.path(path), selector));
    }
    let path = session.around.path(text);
    let is_layout = path.is_file() || path.join("oci-layout").is_file();
    let looks_like_a_path = Path::new(text).is_absolute() || text.starts_with('.') || is_layout;
    looks_like_a_path.then_some((path, None))
}

/// A summary for people, with layers.
fn summary(found: &Inspected) -> String {
    let mut out = String::new();
    _ = writeln!(out, "Name:      {}", printable(&found.name));
    _ = writeln!(out, "MediaType: {}", printable(&found.descriptor.media_type));
    _ = writeln!(out, "Digest:    {}", found.descriptor.digest);
    let is_index = kiln_image::MediaType::is_index(&found.descriptor.media_type);
    if is_index {
        _ = writeln!(out, "\nManifests:");
    }
    for image in &found.images {
        if is_index {
            _ = writeln!(
                out,
                "  Name:      {}@{}",
                printable(&found.name),
                image.descriptor.digest
            );
            _ = writeln!(out, "  MediaType: {}", printable(&image.descriptor.media_type));
        }
        image_summary(image, if is_index { "  " } else { "" }, &mut out);
        out.push('\n');
    }
    out
}

fn image_summary(image: &InspectedImage, indent: &str, out: &mut String) {
    let of_config = image.config.as_ref().map(kiln_image::ImageConfig::platform);
    if let Some(platform) = image.descriptor.platform.clone().or(of_config) {
        _ = writeln!(out, "{indent}Platform:  {platform}");
    }
    let size: u64 = image.layers.iter().map(|layer| layer.size).sum();
    _ = writeln!(out, "{indent}Layers:    {}, {}", image.layers.len(), bytes(size));
    for layer in &image.layers {
        _ = writeln!(
            out,
            "{indent}  {} {} {}",
            layer.digest,
            bytes(layer.size),
            printable(&layer.media_type)
        );
    }
}

fn as_json(found: &Inspected) -> Value {
    let descriptor = |descriptor: &Descriptor| serde_json::to_value(descriptor).unwrap_or_default();
    let image = |image: &InspectedImage| {
        json!({
            "descriptor": descriptor(&image.descriptor),
            "image": image.config.as_ref().map(kiln_image::ImageConfig::json),
            "layers": image.layers.iter().map(descriptor).collect::<Vec<_>>(),
        })
    };
    json!({
        "name": found.name,
        "manifest": descriptor(&found.descriptor),
        "images": found.images.iter().map(image).collect::<Vec<_>>(),
    })
}
