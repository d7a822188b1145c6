//! The observers of one step: every session that wants it hears the same, also what happened before it came.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Weak;

use crate::flight::lock;
use crate::observer::CacheDecision;
use crate::observer::Event;
use crate::observer::Observer;
use crate::op::OpError;
use crate::op::VertexInfo;

pub(crate) struct Audience {
    vertex: Arc<VertexInfo>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    history: Vec<Event>,
    listeners: Vec<Weak<dyn Observer>>,
}

impl Audience {
    pub(crate) fn new(vertex: Arc<VertexInfo>) -> Self {
        Self {
            vertex,
            heard: Mutex::default(),
        }
    }

    /// Lets `observer` hear what has happened and what will, for as long as it lives.
    pub(crate) fn admit(&self, observer: &Arc<dyn Observer>) {
        let mut heard = lock(&self.heard);
        for event in &heard.history {
            observer.observe(&self.vertex, event);
        }
        heard.listeners.push(Arc::downgrade(observer));
    }

    /// Returns whether any session still wants the step.
    pub(crate) fn is_there(&self) -> bool {
        lock(&self.heard)
            .listeners
            .iter()
            .any(|listener| listener.strong_count() > 0)
    }

    pub(super) fn tell(&self, event: Event) {
        lock(&self.heard).tell(&self.vertex, event);
    }

    /// Tells the decision, and that a result was found; once, though several outputs may find it.
    pub(super) fn decide(&self, decision: CacheDecision) {
        let hit = matches!(
            decision,
            CacheDecision::HitByDefinition | CacheDecision::HitByContent
        );
        let mut heard = lock(&self.heard);
        if heard
            .history
            .iter()
            .any(|event| matches!(event, Event::Decided(d) if *d == decision))
        {
            return;
        }
        heard.tell(&self.vertex, Event::Decided(decision));
        if hit {
            heard.tell(&self.vertex, Event::Cached);
        }
    }

    pub(super) fn start(&self) {
        let mut heard = lock(&self.heard);
        if !heard.is_running() {
            heard.tell(&self.vertex, Event::Started);
        }
    }

    /// Ends what [`Audience::start`] has begun. An error always has a beginning, and is told once.
    pub(super) fn finish(&self, result: Result<(), OpError>) {
        let mut heard = lock(&self.heard);
        if !heard.is_running() {
            match result {
                Err(OpError::Cancelled) | Ok(()) => return,
                Err(_) if heard.has_failed() => return,
                Err(_) => heard.tell(&self.vertex, Event::Started),
            }
        }
        heard.tell(&self.vertex, Event::Finished(result));
    }
}

impl Heard {
    fn tell(&mut self, vertex: &VertexInfo, event: Event) {
        self.listeners.retain(|listener| {
            let observer = listener.upgrade();
            if let Some(observer) = &observer {
                observer.observe(vertex, &event);
            }
            observer.is_some()
        });
        self.history.push(event);
    }

    fn has_failed(&self) -> bool {
        let failed =
            |e: &Event| matches!(e, Event::Finished(Err(error)) if !matches!(error, OpError::Cancelled));
        self.history.iter().any(failed)
    }

    fn is_running(&self) -> bool {
        let mark = self
            .history
            .iter()
            .rev()
            .find(|e| matches!(e, Event::Started | Event::Finished(_)));
        matches!(mark, Some(Event::Started))
    }
}
