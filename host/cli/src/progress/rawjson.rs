//! `--progress=rawjson`: BuildKit's `SolveStatus`, one a line.

use std::collections::HashMap;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kiln_image::Digest;
use kiln_progress::End;
use kiln_progress::Event;
use kiln_progress::Status;
use kiln_progress::Stream;
use kiln_progress::Vertex;
use kiln_progress::Warning;
use serde::Serialize;

#[derive(Debug, Default, Serialize)]
struct SolveStatus {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vertexes: Vec<RawVertex>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<RawStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<RawLog>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<RawWarning>,
}

#[derive(Debug, Clone, Serialize)]
struct RawVertex {
    digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cached: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(rename = "progressGroup", skip_serializing_if = "Option::is_none")]
    group: Option<RawGroup>,
}

#[derive(Debug, Clone, Serialize)]
struct RawGroup {
    id: String,
    name: String,
}

#[derive(Debug, Serialize)]
struct RawStatus {
    id: String,
    vertex: String,
    name: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    current: u64,
    timestamp: String,
    started: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
}

#[derive(Debug, Serialize)]
struct RawLog {
    vertex: String,
    stream: u8,
    data: String,
    timestamp: String,
}

#[derive(Debug, Serialize)]
struct RawWarning {
    vertex: String,
    level: i32,
    short: String,
    detail: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(rename = "sourceInfo", skip_serializing_if = "Option::is_none")]
    source: Option<RawSource>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    range: Vec<RawRange>,
}

#[derive(Debug, Serialize)]
struct RawSource {
    filename: String,
    data: String,
    language: String,
}

#[derive(Debug, Serialize)]
struct RawRange {
    start: RawPosition,
    end: RawPosition,
}

#[derive(Debug, Serialize)]
struct RawPosition {
    line: u32,
    character: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Turns events into lines. Remembers steps, because BuildKit repeats all of a vertex at each change.
#[derive(Debug, Default)]
pub(crate) struct RawJson {
    vertexes: HashMap<Digest, RawVertex>,
}

impl RawJson {
    /// Returns the line for an event; none for one of a step that was never announced.
    pub(crate) fn line(&mut self, event: Event) -> Option<String> {
        let mut status = SolveStatus::default();
        match event {
            Event::Known(vertex) => status.vertexes.push(self.learn(vertex)),
            Event::Started { vertex, at } => {
                let known = self.vertexes.get_mut(&vertex)?;
                (known.started, known.completed) = (Some(time(at)), None);
                status.vertexes.push(known.clone());
            }
            Event::Finished { vertex, end, at } => status.vertexes.push(self.finish(&vertex, end, at)?),
            Event::Status(part) => status.statuses.push(part_of(part)),
            Event::Log {
                vertex,
                stream,
                data,
                at,
            } => status.logs.push(RawLog {
                vertex: vertex.to_string(),
                stream: if stream == Stream::Stdout { 1 } else { 2 },
                data: STANDARD.encode(data),
                timestamp: time(at),
            }),
            Event::Warning(warning) => status.warnings.push(warning_of(*warning)),
        }
        serde_json::to_string(&status).ok()
    }

    fn learn(&mut self, vertex: Vertex) -> RawVertex {
        let raw = RawVertex {
            digest: vertex.digest.to_string(),
            inputs: vertex.inputs.iter().map(ToString::to_string).collect(),
            name: vertex.name,
            started: None,
            completed: None,
            cached: false,
            error: String::new(),
            group: vertex.group.map(|name| RawGroup {
                id: Digest::of(&name).to_string(),
                name,
            }),
        };
        self.vertexes.entry(vertex.digest).or_insert(raw).clone()
    }

    fn finish(&mut self, vertex: &Digest, end: End, at: SystemTime) -> Option<RawVertex> {
        let known = self.vertexes.get_mut(vertex)?;
        known.started.get_or_insert_with(|| time(at));
        known.completed = Some(time(at));
        known.cached = end == End::Cached;
        known.error = match end {
            End::Done | End::Cached => String::new(),
            End::Canceled => "context canceled".to_owned(),
            End::Failed(error) => error,
        };
        Some(known.clone())
    }
}

fn part_of(part: Status) -> RawStatus {
    RawStatus {
        id: part.id,
        vertex: part.vertex.to_string(),
        name: part.action,
        total: part.total,
        current: part.current,
        timestamp: time(part.completed.unwrap_or_else(SystemTime::now)),
        started: time(part.started),
        completed: part.completed.map(time),
    }
}

fn warning_of(warning: Warning) -> RawWarning {
    let position = |(line, character)| RawPosition { line, character };
    RawWarning {
        vertex: warning.vertex.to_string(),
        level: warning.level,
        short: STANDARD.encode(warning.short),
        detail: warning.detail.iter().map(|line| STANDARD.encode(line)).collect(),
        url: warning.url,
        source: warning.source.map(|source| RawSource {
            filename: source.name,
            data: STANDARD.encode(source.data),
            language: source.language,
        }),
        range: warning
            .ranges
            .iter()
            .map(|range| RawRange {
                start: position(range.start),
                end: position(range.end),
            })
            .collect(),
    }
}

/// Formats a time as Go's `RFC3339Nano`: UTC, no trailing zeros.
fn time(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| "1970-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}
