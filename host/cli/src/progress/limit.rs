//! Bounds what one step may print: a build that writes without end must not fill a terminal or a log file.

use std::collections::HashMap;
use std::time::SystemTime;

use kiln_image::Digest;
use kiln_progress::Event;

/// Most bytes of output of one step (BuildKit's default).
const MOST: u64 = 2 << 20;
/// Most bytes of output of one step a second (BuildKit's default).
const MOST_A_SECOND: u64 = 200 << 10;

#[derive(Debug)]
struct Meter {
    began: SystemTime,
    bytes: u64,
    clipped: bool,
}

/// Counts the output of steps.
#[derive(Debug, Default)]
pub(crate) struct Limit(HashMap<Digest, Meter>);

impl Limit {
    /// Returns the event, shortened when its step has printed too much; none when nothing of it is left.
    pub(crate) fn pass(&mut self, event: Event) -> Option<Event> {
        let Event::Log {
            vertex,
            stream,
            data,
            at,
        } = event
        else {
            return Some(event);
        };
        let data = self.clip(vertex, data, at);
        (!data.is_empty()).then_some(Event::Log {
            vertex,
            stream,
            data,
            at,
        })
    }

    fn clip(&mut self, vertex: Digest, mut data: Vec<u8>, at: SystemTime) -> Vec<u8> {
        let meter = self.0.entry(vertex).or_insert(Meter {
            began: at,
            bytes: 0,
            clipped: false,
        });
        let seconds = at.duration_since(meter.began).unwrap_or_default().as_secs() + 1;
        let (most, name) = match MOST_A_SECOND.saturating_mul(seconds) {
            most if most < MOST => (most, "200KiB/s"),
            _ => (MOST, "2MiB"),
        };
        let room = usize::try_from(most.saturating_sub(meter.bytes)).unwrap_or(usize::MAX);
        if data.len() <= room {
            meter.bytes += data.len() as u64;
            meter.clipped = false;
            return data;
        }
        data.truncate(room);
        meter.bytes += data.len() as u64;
        if !std::mem::replace(&mut meter.clipped, true) {
            data.extend_from_slice(format!("\n[output clipped, log limit {name} reached]\n").as_bytes());
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kiln_progress::Stream;

    use super::*;

    fn log(len: usize, at: SystemTime) -> Event {
        Event::Log {
            vertex: Digest::of("a"),
            stream: Stream::Stdout,
            data: vec![b'x'; len],
            at,
        }
    }

    #[track_caller]
    fn passed(limit: &mut Limit, len: usize, at: SystemTime) -> (usize, bool) {
        match limit.pass(log(len, at)) {
            Some(Event::Log { data, .. }) => {
                let clipped = data.ends_with(b"reached]\n");
                (data.iter().filter(|byte| **byte == b'x').count(), clipped)
            }
            None => (0, false),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_second_and_a_step_have_a_limit() {
        let start = SystemTime::UNIX_EPOCH;
        let mut limit = Limit::default();
        assert_eq!(passed(&mut limit, 200 << 10, start), (200 << 10, false));
        assert_eq!(passed(&mut limit, 10, start), (0, true));
        assert_eq!(passed(&mut limit, 10, start), (0, false));
        assert_eq!(
            passed(&mut limit, 10, start + Duration::from_secs(1)),
            (10, false)
        );
        let late = start + Duration::from_secs(100);
        assert_eq!(
            passed(&mut limit, 4 << 20, late),
            ((2 << 20) - (200 << 10) - 10, true)
        );
        assert_eq!(passed(&mut limit, 1, late + Duration::from_secs(100)), (0, false));
    }
}
