//! Tells the user what the solver does.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::SystemTime;

use kiln_graph::Definition;
use kiln_graph::SourceFile;
use kiln_graph::Span;
use kiln_image::Digest;
use kiln_plugin::Diagnostic;
use kiln_progress::End;
use kiln_progress::Event;
use kiln_progress::Range;
use kiln_progress::Sink;
use kiln_progress::Vertex;
use kiln_progress::Warning;
use kiln_solver::OpError;
use kiln_solver::VertexInfo;

use crate::bridge::chain;
use crate::build::BuildContext;
use crate::error::Place;

/// What is known of a vertex beyond what the solver knows.
#[derive(Debug, Clone)]
struct Known {
    inputs: Vec<Digest>,
    group: Option<String>,
    places: Vec<Place>,
    /// Doing it again costs as much as looking it up: its result is not kept.
    cheap: bool,
}

/// Turns the solver's events into progress, and remembers where vertices come from.
#[derive(Debug)]
pub(crate) struct Reporter {
    sink: Arc<dyn Sink>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Digest, Known>,
    announced: HashSet<Digest>,
    started: HashSet<Digest>,
    over: HashSet<Digest>,
    cached: HashSet<Digest>,
}

impl State {
    /// Returns true for a step that was reported as cached and is evaluated again, which costs as much as a look-up: its
    /// result is a list of what other layers have.
    fn is_quiet(&self, vertex: &Digest) -> bool {
        self.cached.contains(vertex) && self.known.get(vertex).is_some_and(|known| known.cheap)
    }
}

impl Reporter {
    pub(crate) fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a definition's vertices.
    pub(crate) fn learn(&self, build: &BuildContext, definition: &Definition) {
        let digests = crate::ops::session_digests(build, definition);
        let sources: Vec<Arc<SourceFile>> = definition.sources.iter().cloned().map(Arc::new).collect();
        let mut state = self.state();
        for (vertex, digest) in definition.vertices.iter().zip(&digests) {
            let inputs = vertex
                .op
                .inputs()
                .iter()
                .map(|input| digests[input.vertex as usize])
                .collect();
            let place = |span: &Span| {
                Some(Place {
                    file: sources.get(span.source as usize)?.clone(),
                    span: *span,
                })
            };
            let places = vertex.spans.iter().filter_map(place).collect();
            state.known.insert(
                *digest,
                Known {
                    inputs,
                    group: vertex.group.clone(),
                    places,
                    cheap: matches!(vertex.op, kiln_graph::Op::File(_)),
                },
            );
        }
    }

    /// Returns where a vertex comes from.
    pub(crate) fn places(&self, vertex: &Digest) -> Vec<Place> {
        self.state()
            .known
            .get(vertex)
            .map(|known| known.places.clone())
            .unwrap_or_default()
    }

    /// Reports a diagnostic under a step.
    pub(crate) fn warn(
        &self,
        sink: &Arc<dyn Sink>,
        vertex: Digest,
        diagnostic: &Diagnostic,
        sources: &[SourceFile],
    ) {
        let file = diagnostic
            .spans
            .first()
            .and_then(|span| sources.get(span.source as usize));
        let source = file.map(|file| kiln_progress::Source {
            name: file.name.clone(),
            language: file.language.clone(),
            data: file.data.as_slice().into(),
        });
        let range = |span: &Span| Range {
            start: (span.start.line, span.start.column),
            end: (span.end.line, span.end.column),
        };
        // As BuildKit writes what a rule found.
        let short = match (diagnostic.code.as_str(), diagnostic.spans.first()) {
            ("", _) => diagnostic.message.clone(),
            (code, None) => format!("{code}: {}", diagnostic.message),
            (code, Some(span)) => format!("{code}: {} (line {})", diagnostic.message, span.start.line),
        };
        sink.emit(Event::Warning(Box::new(Warning {
            vertex,
            level: 1,
            short,
            detail: diagnostic.detail.clone(),
            url: diagnostic.url.clone(),
            source,
            ranges: diagnostic.spans.iter().map(range).collect(),
        })));
    }

    fn announce(&self, state: &mut State, vertex: &VertexInfo) {
        if state.announced.insert(vertex.digest) {
            let known = state.known.get(&vertex.digest);
            self.sink.emit(Event::Known(Vertex {
                digest: vertex.digest,
                name: vertex.name.clone(),
                inputs: known.map(|known| known.inputs.clone()).unwrap_or_default(),
                group: known.and_then(|known| known.group.clone()),
            }));
        }
    }
}

impl kiln_solver::Observer for Reporter {
    fn observe(&self, vertex: &VertexInfo, event: &kiln_solver::Event) {
        let at = SystemTime::now();
        let mut state = self.state();
        match event {
            kiln_solver::Event::Decided(_) | kiln_solver::Event::IndexFailed(_) => {}
            kiln_solver::Event::Cached => {
                self.announce(&mut state, vertex);
                state.cached.insert(vertex.digest);
                if state.over.insert(vertex.digest) {
                    self.sink.emit(Event::Started {
                        vertex: vertex.digest,
                        at,
                    });
                    self.sink.emit(Event::Finished {
                        vertex: vertex.digest,
                        end: End::Cached,
                        at,
                    });
                }
            }
            kiln_solver::Event::Started if state.is_quiet(&vertex.digest) => {}
            kiln_solver::Event::Finished(Ok(())) if state.is_quiet(&vertex.digest) => {}
            kiln_solver::Event::Started => {
                self.announce(&mut state, vertex);
                state.over.remove(&vertex.digest);
                if state.started.insert(vertex.digest) {
                    self.sink.emit(Event::Started {
                        vertex: vertex.digest,
                        at,
                    });
                }
            }
            kiln_solver::Event::Finished(result) => {
                let end = match result {
                    Ok(()) => End::Done,
                    Err(OpError::Cancelled) => End::Canceled,
                    Err(error) => End::Failed(chain(error)),
                };
                // A step that was cancelled before it began was never shown.
                if end == End::Canceled && !state.started.contains(&vertex.digest) {
                    return;
                }
                self.announce(&mut state, vertex);
                if state.over.insert(vertex.digest) {
                    self.sink.emit(Event::Finished {
                        vertex: vertex.digest,
                        end,
                        at,
                    });
                }
            }
        }
    }
}
