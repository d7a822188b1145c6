//! Makes SBOMs of what a scan found. Knows no format: [`Sbom`] is written by who needs it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kiln_attest::Sbom;
use kiln_attest::SbomFile;
use kiln_attest::SbomSubject;
use kiln_image::Descriptor;
use kiln_image::Digest;
use kiln_plugin::Component;

use super::Scan;

/// What was scanned.
pub(crate) struct Scanned<'a> {
    /// What it is called.
    pub(crate) name: String,
    /// Its manifest, and the blobs of its layers; none of what is no image.
    pub(crate) image: Option<(Digest, &'a [Descriptor])>,
    /// When the document is made.
    pub(crate) created: Timestamp,
}

impl Scanned<'_> {
    /// Returns everything that a document says.
    pub(crate) fn sbom(self, scan: &Scan) -> Sbom {
        let layers = self.image.map(|(_, layers)| layers).unwrap_or_default();
        let tool = |component: &Component| {
            let name = component.name.rsplit(':').next().unwrap_or_default();
            format!("{name}-{}", component.digest.short())
        };
        let version = concat!("kiln-", env!("CARGO_PKG_VERSION")).to_owned();
        let files = scan.files.iter().map(|(file, at)| SbomFile {
            layer: layers.get(*at).map(|layer| layer.digest),
            ..file.clone()
        });
        let created = self.created;
        let mut sbom = Sbom {
            name: self.name,
            subject: match self.image {
                Some((manifest, _)) => SbomSubject::Image(manifest),
                None => SbomSubject::Files(identity(scan)),
            },
            // Seconds are what the formats have.
            created: created.round(jiff::Unit::Second).unwrap_or(created).to_string(),
            tools: scan.components.iter().map(tool).chain([version]).collect(),
            packages: scan.packages.clone(),
            files: files.collect(),
        };
        sbom.tidy();
        sbom
    }
}

/// Names what has no manifest by what was found in it.
fn identity(scan: &Scan) -> Digest {
    let files = scan.files.iter();
    let files = files.map(|(file, _)| format!("file {} {:?}", file.sha256, file.path));
    let packages = scan.packages.iter();
    let packages = packages.map(|package| format!("package {} {:?}", package.purl, package.version));
    let lines: BTreeSet<String> = files.chain(packages).collect();
    Digest::of(lines.into_iter().collect::<Vec<_>>().join("\n"))
}
