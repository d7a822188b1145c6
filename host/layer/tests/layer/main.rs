//! Layers through the public interface: round trips, hostile archives, other tools as judges.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fixture;
mod hostile;
mod properties;
mod read;
mod tools;
mod unpack;
mod write;
