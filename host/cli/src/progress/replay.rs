//! Reads captures of BuildKit's `rawjson` back into events and draws them on a clock of their own.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kiln_image::Digest;
use kiln_progress::End;
use kiln_progress::Event;
use kiln_progress::Status;
use kiln_progress::Stream;
use kiln_progress::Vertex;
use kiln_progress::Warning;
use serde_json::Value;

use super::state::State;

/// Returns a capture of the shared conformance data.
pub(crate) fn capture(name: &str) -> String {
    let root = std::env::var_os("KILN_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join("conformance/progress").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "the shared data is needed (`shared` beside the repository, or KILN_SHARED): {}: {error}",
            path.display()
        )
    })
}

fn time(value: &Value) -> Option<SystemTime> {
    Some(value.as_str()?.parse::<jiff::Timestamp>().expect("a time").into())
}

fn digest(value: &Value) -> Digest {
    value.as_str().expect("a digest").parse().expect("a digest")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the events of each line.
pub(crate) fn events(capture: &str) -> Vec<Vec<Event>> {
    let mut begun = HashSet::new();
    let lines = capture.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| line_events(&serde_json::from_str(line).expect("JSON"), &mut begun))
        .collect()
}

fn line_events(line: &Value, begun: &mut HashSet<(Digest, SystemTime)>) -> Vec<Event> {
    let rows = |key: &str| line[key].as_array().cloned().unwrap_or_default();
    let mut events = Vec::new();
    for v in rows("vertexes") {
        vertex_events(&v, begun, &mut events);
    }
    events.extend(rows("statuses").iter().map(|s| {
        Event::Status(Status {
            vertex: digest(&s["vertex"]),
            id: text(&s["id"]),
            action: "",
            current: s["current"].as_u64().unwrap_or_default(),
            total: s["total"].as_u64().unwrap_or_default(),
            started: time(&s["started"]).expect("a time"),
            completed: time(&s["completed"]),
        })
    }));
    events.extend(rows("warnings").iter().map(|w| {
        let short = STANDARD.decode(text(&w["short"])).expect("base64");
        Event::Warning(Box::new(Warning {
            vertex: digest(&w["vertex"]),
            level: 1,
            short: String::from_utf8(short).expect("UTF-8"),
            detail: Vec::new(),
            url: Some(text(&w["url"])),
            source: None,
            ranges: Vec::new(),
        }))
    }));
    events.extend(rows("logs").iter().map(|l| Event::Log {
        vertex: digest(&l["vertex"]),
        stream: if l["stream"] == 2 {
            Stream::Stderr
        } else {
            Stream::Stdout
        },
        data: STANDARD.decode(text(&l["data"])).expect("base64"),
        at: time(&l["timestamp"]).expect("a time"),
    }));
    events
}

fn vertex_events(v: &Value, begun: &mut HashSet<(Digest, SystemTime)>, events: &mut Vec<Event>) {
    let vertex = digest(&v["digest"]);
    let inputs = v["inputs"].as_array().into_iter().flatten().map(digest).collect();
    events.push(Event::Known(Vertex {
        digest: vertex,
        name: text(&v["name"]),
        inputs,
        group: None,
    }));
    let Some(started) = time(&v["started"]) else {
        return;
    };
    if begun.insert((vertex, started)) {
        events.push(Event::Started { vertex, at: started });
    }
    if let Some(at) = time(&v["completed"]) {
        let end = match (v["error"].as_str(), v["cached"].as_bool()) {
            (Some(error), _) => End::Failed(error.to_owned()),
            (None, Some(true)) => End::Cached,
            _ => End::Done,
        };
        events.push(Event::Finished { vertex, end, at });
    }
}

/// Returns when an event happened.
pub(crate) fn at(event: &Event) -> Option<SystemTime> {
    match event {
        Event::Started { at, .. } | Event::Finished { at, .. } | Event::Log { at, .. } => Some(*at),
        Event::Status(status) => Some(status.completed.unwrap_or(status.started)),
        Event::Known(_) | Event::Warning(_) => None,
    }
}

/// Draws a capture as the display does: every 100 ms, and once at the end.
pub(crate) fn replay(capture: &str, mut draw: impl FnMut(&mut State, SystemTime)) -> State {
    let mut state = State::default();
    let mut drawn = None;
    let mut now = SystemTime::UNIX_EPOCH;
    for line in events(capture) {
        now = line.iter().filter_map(at).max().unwrap_or(now).max(now);
        line.into_iter().for_each(|event| state.apply(event, now));
        if now > SystemTime::UNIX_EPOCH && now > *drawn.get_or_insert(now) + Duration::from_millis(100) {
            draw(&mut state, now);
            drawn = Some(now);
        }
    }
    draw(&mut state, now);
    state
}
