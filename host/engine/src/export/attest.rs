//! Attestations of the images that are written.

use kiln_attest::AttestationManifest;
use kiln_attest::ManifestForm;
use kiln_attest::Sbom;
use kiln_export::Assembled;
use kiln_export::Output;
use kiln_image::Reference;
use kiln_progress::Step;
use serde_json::Value;

use super::AnyError;
use super::Export;
use crate::attest::About;
use crate::attest::AttestLayout;
use crate::attest::Attestations;
use crate::attest::SbomFormat;
use crate::attest::Scan;
use crate::attest::Scanned;
use crate::outcome::BuiltSbom;

/// Returns every blob of an attestation manifest.
pub(super) fn documents(attached: &AttestationManifest) -> Vec<Vec<u8>> {
    let mut documents = vec![attached.config.clone()];
    documents.extend(attached.statements.iter().cloned());
    documents.push(attached.manifest.clone());
    documents
}

impl Export<'_> {
    /// Makes the attestations of the images, and tells whether they stand beside them instead of in an index.
    pub(super) fn attach(
        &self,
        step: &Step,
        output: &Output,
        images: &[Assembled],
        names: &[Reference],
    ) -> Result<(Vec<AttestationManifest>, bool), AnyError> {
        let asked = &self.build.request.attestations;
        let beside = beside(asked, self.multi);
        let provenance = asked.provenance.as_ref();
        let provenance = provenance.filter(|options| !options.inline_only || self.inlines(output));
        let about = images.iter().enumerate().map(|(at, image)| About {
            image,
            names,
            provenance: provenance.and_then(|options| Some((options, self.attested.recorded.get(at)?))),
            sboms: self.sboms(at, image, names),
        });
        let artifact = beside || output.format().is_some_and(|format| format.oci_artifact);
        let form = if artifact {
            ManifestForm::Artifact
        } else {
            ManifestForm::Image
        };
        let attached: Vec<AttestationManifest> = about
            .filter_map(|about| crate::attest::attach(&about, form))
            .collect();
        if attached.is_empty() {
            return Ok((attached, false));
        }
        if !output.format().is_some_and(|format| format.oci_media_types) {
            if !asked.is_explicit() {
                return Ok((Vec::new(), false));
            }
            return Err("cannot export attestations with oci-mediatypes=false".into());
        }
        if beside && !is_store(output) {
            return Err(
                "attestations beside an image need an image store or a registry (for `type=oci` and \
                        `type=docker`, give `--attest-layout=index`)"
                    .into(),
            );
        }
        for attached in &attached {
            let title = format!("exporting attestation manifest {}", attached.descriptor.digest);
            step.part("exporting", title, 0).done();
        }
        Ok((attached, beside))
    }

    /// Writes what is in an image, in the formats that are asked for.
    fn sboms(&self, at: usize, image: &Assembled, names: &[Reference]) -> Vec<(&'static str, Value)> {
        let (Some(options), Some(Some(scan))) =
            (&self.build.request.attestations.sbom, self.attested.scans.get(at))
        else {
            return Vec::new();
        };
        let sbom = self.sbom(scan, Some(image), names);
        let write = |format: &SbomFormat| match format {
            SbomFormat::Spdx => (kiln_attest::SPDX, kiln_attest::spdx(&sbom)),
            SbomFormat::CycloneDx => (kiln_attest::CYCLONEDX, kiln_attest::cyclonedx(&sbom)),
        };
        let written = options.formats.iter().map(write);
        written.chain(scan.documents.iter().cloned()).collect()
    }

    fn sbom(&self, scan: &Scan, image: Option<&Assembled>, names: &[Reference]) -> Sbom {
        let scanned = Scanned {
            name: names
                .first()
                .map_or_else(|| "image".to_owned(), Reference::familiar),
            image: image.map(|image| (image.descriptor.digest, &image.manifest.layers[..])),
            created: match self.build.request.epoch {
                Some(_) => self.build.created,
                None => self.build.started,
            },
        };
        scanned.sbom(scan)
    }

    /// Returns what is in each output, where the caller wants to know. `images` are the outputs as they were written;
    /// none when they are no images.
    pub(super) fn sidecars(&self, images: Option<&[Assembled]>, names: &[Reference]) -> Vec<BuiltSbom> {
        if !self.build.request.attestations.sidecar {
            return Vec::new();
        }
        let outputs = self.built.iter().zip(&self.attested.scans).enumerate();
        let sboms = outputs.filter_map(|(at, (built, scan))| {
            let image = images.and_then(|images| images.get(at));
            Some(BuiltSbom {
                platform: built.output.platform.clone(),
                sbom: self.sbom(scan.as_ref()?, image, names),
            })
        });
        sboms.collect()
    }

    /// Tells whether provenance that nobody asked for goes with this output: it makes no index of one image.
    fn inlines(&self, output: &Output) -> bool {
        is_store(output) || self.multi
    }
}

fn beside(asked: &Attestations, multi: bool) -> bool {
    match asked.layout {
        AttestLayout::Index => false,
        AttestLayout::Referrers => true,
        AttestLayout::Auto => !multi && !asked.is_explicit(),
    }
}

fn is_store(output: &Output) -> bool {
    matches!(output, Output::Image(_) | Output::Docker { dest: None, .. })
}
