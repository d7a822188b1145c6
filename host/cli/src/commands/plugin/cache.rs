//! Cache adapters without a build: what `kiln plugin run` and `kiln plugin test` do with them. Blobs and a document go
//! out and come back, by a bucket and a server in memory; what the adapter plans is the text.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use kiln_image::Digest;
use kiln_plugin::AdapterCall;
use kiln_plugin::AdapterError;
use kiln_plugin::BlobRef;
use kiln_plugin::CacheAdapter;
use kiln_plugin::GetPlan;
use kiln_plugin::HttpRequest;
use kiln_plugin::PluginError;
use kiln_plugin::PutPlan;

use crate::plugins::MemoryOutside;

/// Where a case has the parameters, `KEY=VALUE` in each line.
const CONFIG: &str = "config.txt";
/// Name of the cache.
const NAME: &str = "buildkit";
/// The document that goes out.
const DOCUMENT: &[u8] = b"{\"layers\":[],\"records\":[]}";

/// Reads the parameters of a case; none without the file.
///
/// # Errors
/// The file is there and cannot be read, or a line is no parameter.
pub(super) fn config(folder: &Path) -> std::io::Result<Vec<(String, String)>> {
    let text = match std::fs::read_to_string(folder.join(CONFIG)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let pair = |(number, line): (usize, &str)| {
        let pair = line.split_once('=');
        let wrong = || {
            let place = format!("{CONFIG}:{}:1: expected `KEY=VALUE`, found `{line}`", number + 1);
            std::io::Error::new(std::io::ErrorKind::InvalidData, place)
        };
        pair.map(|(key, value)| (key.to_owned(), value.to_owned()))
            .ok_or_else(wrong)
    };
    lines.enumerate().map(pair).collect()
}

/// One adapter with its surroundings, and what is said of it.
struct Trip<'a> {
    adapter: &'a dyn CacheAdapter,
    outside: Arc<MemoryOutside>,
    call: AdapterCall,
    said: String,
}

/// Sends two blobs and a document on a trip there and back. What the adapter refuses is in the text.
///
/// # Errors
/// The adapter misbehaves: it traps, says that what it was given is not there, or brings something else.
pub(super) async fn round_trip(
    adapter: &dyn CacheAdapter,
    config: Vec<(String, String)>,
) -> Result<String, AdapterError> {
    let outside = Arc::new(MemoryOutside::default());
    let call = AdapterCall {
        config,
        bridge: outside.clone(),
    };
    let mut trip = Trip {
        adapter,
        outside,
        call,
        said: String::new(),
    };
    match trip.run().await {
        Err(AdapterError::Failed { error, .. }) => {
            _ = writeln!(trip.said, "failed {error}");
            Ok(trip.said)
        }
        ended => ended.map(|()| trip.said),
    }
}

impl Trip<'_> {
    async fn run(&mut self) -> Result<(), AdapterError> {
        self.adapter.open(&self.call).await?;
        let blobs = [&b"one\n"[..], &[7; 100_000]];
        let refs = blobs.map(|data| BlobRef {
            digest: Digest::of(data).to_string(),
            size: data.len() as u64,
        });
        let before = self.adapter.get_manifest(&self.call, NAME).await?;
        self.expect("get-manifest", before.is_none(), "a document before there is one")?;
        let plans = self.adapter.plan_put(&self.call, &refs).await?;
        for ((plan, data), blob) in plans.iter().zip(blobs).zip(&refs) {
            self.say("plan-put", blob, &shown_put(plan));
            self.put(plan, data);
        }
        self.adapter.put_manifest(&self.call, NAME, DOCUMENT).await?;
        self.adapter.commit(&self.call, &refs).await?;
        let again = self.adapter.plan_put(&self.call, &refs).await?;
        for (plan, blob) in again.iter().zip(&refs) {
            self.say("plan-put", blob, &shown_put(plan));
        }
        let plans = self.adapter.plan_get(&self.call, &refs).await?;
        for ((plan, data), blob) in plans.iter().zip(blobs).zip(&refs) {
            self.say("plan-get", blob, &shown_get(plan));
            let same = self.get(plan).as_deref() == Some(data);
            self.expect("plan-get", same, "another blob than the one that was put")?;
        }
        let found = self.adapter.get_manifest(&self.call, NAME).await?;
        let same = found.as_deref() == Some(DOCUMENT);
        self.expect("get-manifest", same, "another document than the one that was put")?;
        _ = writeln!(self.said, "document {NAME} came back");
        Ok(())
    }

    fn expect(&self, call: &str, holds: bool, otherwise: &str) -> Result<(), AdapterError> {
        let wrong = || PluginError::BadOutput {
            plugin: self.adapter.component().name,
            call: call.to_owned(),
            why: otherwise.to_owned(),
        };
        match holds {
            true => Ok(()),
            false => Err(wrong().into()),
        }
    }

    fn say(&mut self, call: &str, blob: &BlobRef, plan: &str) {
        let digest = &blob.digest[..19.min(blob.digest.len())];
        _ = writeln!(self.said, "{call} {digest} {} {plan}", blob.size);
    }

    fn put(&self, plan: &PutPlan, data: &[u8]) {
        match plan {
            PutPlan::Present => {}
            PutPlan::Object(key) => self.outside.put_object(key, data),
            PutPlan::Http(request) => drop(self.outside.answer(&with_body(request, data))),
            PutPlan::Multipart(part, requests) => {
                let part = usize::try_from(*part).unwrap_or(usize::MAX);
                for (request, data) in requests.iter().zip(data.chunks(part)) {
                    drop(self.outside.answer(&with_body(request, data)));
                }
            }
        }
    }

    fn get(&self, plan: &GetPlan) -> Option<Vec<u8>> {
        match plan {
            GetPlan::Miss => None,
            GetPlan::Object(key) => self.outside.object(key),
            GetPlan::Http(request) => {
                let answer = self.outside.answer(request);
                (answer.status == 200).then_some(answer.body)
            }
        }
    }
}

fn with_body(request: &HttpRequest, data: &[u8]) -> HttpRequest {
    HttpRequest {
        body: data.to_vec(),
        ..request.clone()
    }
}

fn shown(request: &HttpRequest) -> String {
    let auth = request.auth.as_ref().map(|id| format!(" auth {id}"));
    format!("{} {}{}", request.method, request.url, auth.unwrap_or_default())
}

fn shown_put(plan: &PutPlan) -> String {
    match plan {
        PutPlan::Present => "present".to_owned(),
        PutPlan::Object(key) => format!("object {key}"),
        PutPlan::Http(request) => format!("http {}", shown(request)),
        PutPlan::Multipart(part, requests) => {
            let requests: Vec<String> = requests.iter().map(shown).collect();
            format!("multipart {part} {}", requests.join(", "))
        }
    }
}

fn shown_get(plan: &GetPlan) -> String {
    match plan {
        GetPlan::Miss => "miss".to_owned(),
        GetPlan::Object(key) => format!("object {key}"),
        GetPlan::Http(request) => format!("http {}", shown(request)),
    }
}
