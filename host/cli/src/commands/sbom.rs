//! `kiln sbom`.

use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;
use jiff::Timestamp;
use kiln_attest::Sbom;
use kiln_attest::SbomPackage;
use kiln_engine::Layout;
use kiln_engine::SbomFormat;
use kiln_engine::SbomRequest;
use kiln_engine::SbomSource;

use super::Session;
use super::inspect::SCHEME;
use super::inspect::layout;
use super::print_bytes;
use super::reference;
use super::table;
use super::warn;
use crate::args::ArgError;
use crate::args::attest::format_of;
use crate::exit::Failure;
use crate::progress::printable;
use crate::report::Report;
use crate::wiring::Wanted;

/// What `kiln sbom` takes.
#[derive(Debug, Args)]
pub(crate) struct SbomArgs {
    /// Name of an image, oci-layout://PATH, with :TAG or @DIGEST, the path of an OCI layout or archive, or a directory,
    /// with a slash in it
    #[arg(value_name = "REF|DIR")]
    of: String,
    /// How it is written [default: by the name of the file, else spdx-json]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Image of an index [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// One more cataloger or scanner, such as builtin:cataloger-lock; may be given several times
    #[arg(long = "generator", value_name = "REF")]
    generators: Vec<String>,
    /// Registry that may speak plain HTTP or have a certificate that nobody vouches for
    #[arg(long = "insecure-registry", value_name = "HOST")]
    insecure_registries: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// SPDX 2.3
    #[value(alias = "spdx")]
    SpdxJson,
    /// CycloneDX 1.6
    #[value(alias = "cyclonedx")]
    CyclonedxJson,
    /// Columns for people
    Table,
}

/// Finds out what is in an image or a directory.
pub(crate) fn run(args: &SbomArgs) -> Result<u8, Failure> {
    let platform = args.platform.as_deref().map(str::parse).transpose();
    let platform = platform.map_err(|e| ArgError::new("invalid value for `--platform`").because(e))?;
    let session = Session::open()?;
    let created = created(&session)?;
    let source = source(&args.of, &session)?;
    let runtime = super::runtime()?;
    let _entered = runtime.enter();
    let engine = session.engine(&Wanted {
        insecure_registries: args.insecure_registries.clone(),
        ..Wanted::default()
    })?;
    let request = SbomRequest {
        name: name(&args.of, &source),
        source,
        platform,
        generators: args.generators.clone(),
        created,
    };
    let found = runtime.block_on(Box::pin(engine.sbom(request)))?;
    for warning in &found.warnings {
        warn(&Report::new(warning.clone()));
    }
    let bytes = match args.format() {
        Format::SpdxJson => document(&found.sbom, SbomFormat::Spdx),
        Format::CyclonedxJson => document(&found.sbom, SbomFormat::CycloneDx),
        Format::Table => rows(&found.sbom).into_bytes(),
    };
    match args.output.as_deref().filter(|path| *path != Path::new("-")) {
        None => print_bytes(&bytes)?,
        Some(path) => super::write_file(&session, path, &bytes)?,
    }
    Ok(0)
}

impl SbomArgs {
    fn format(&self) -> Format {
        let by_name = || match format_of(self.output.as_deref()?)? {
            SbomFormat::Spdx => Some(Format::SpdxJson),
            SbomFormat::CycloneDx => Some(Format::CyclonedxJson),
        };
        self.format.or_else(by_name).unwrap_or(Format::SpdxJson)
    }
}

/// Writes a document as a file: indented, since people look into it.
pub(super) fn document(sbom: &Sbom, format: SbomFormat) -> Vec<u8> {
    let document = match format {
        SbomFormat::Spdx => kiln_attest::spdx(sbom),
        SbomFormat::CycloneDx => kiln_attest::cyclonedx(sbom),
    };
    format!("{document:#}\n").into_bytes()
}

/// `SOURCE_DATE_EPOCH`, else now.
fn created(session: &Session) -> Result<Timestamp, ArgError> {
    let epoch = session.around.env.get("SOURCE_DATE_EPOCH");
    let Some(text) = epoch.filter(|text| !text.is_empty()) else {
        return Ok(Timestamp::now());
    };
    let seconds = text.parse().ok();
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.ok_or_else(|| ArgError::value("SOURCE_DATE_EPOCH", text, "seconds since 1970"))
}

/// Tells what is meant: a layout and a directory as `kiln inspect` tells layouts, and a directory by a slash at the end
/// as well, so that no folder that happens to be there takes the place of an image.
fn source(text: &str, session: &Session) -> Result<SbomSource, Failure> {
    let directory = text.ends_with('/').then(|| session.around.path(text));
    let place = directory
        .map(|path| (path, None))
        .or_else(|| layout(text, session));
    let Some((path, selector)) = place else {
        return Ok(SbomSource::Image(reference(text)?));
    };
    let is_layout = text.starts_with(SCHEME) || path.join("oci-layout").is_file();
    if path.is_dir() && !is_layout {
        return Ok(SbomSource::Directory(path));
    }
    let layout = Layout::open(&path).map_err(|e| Failure::failed(Report::of(&e)))?;
    Ok(SbomSource::Layout {
        layout,
        selector: selector.map(str::to_owned),
    })
}

/// What the document calls it: of a path the last part alone, which says something to others and makes the document the
/// same in every directory.
fn name(text: &str, source: &SbomSource) -> String {
    let path = match source {
        SbomSource::Image(reference) => return reference.familiar(),
        SbomSource::Layout { layout, .. } => layout.path(),
        SbomSource::Directory(path) => path,
    };
    let last = path.file_name().and_then(|name| name.to_str());
    last.unwrap_or(text).to_owned()
}

/// Lays packages out in columns.
fn rows(sbom: &Sbom) -> String {
    let mut rows = vec![
        ["NAME", "VERSION", "TYPE", "LICENSES"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(sbom.packages.iter().map(row));
    table(&rows)
}

fn row(package: &SbomPackage) -> Vec<String> {
    let kind = package.purl.strip_prefix("pkg:").unwrap_or_default();
    let kind = kind.split('/').next().unwrap_or_default();
    let licenses = package.licenses.join(", ");
    let cells = [&package.name, &package.version, kind, &licenses];
    cells.map(printable).to_vec()
}
