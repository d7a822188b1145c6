//! Layers through the public interface: round trips, hostile archives, other tools as judges.

mod fixture;
mod hostile;
mod properties;
mod read;
mod tools;
mod unpack;
mod write;
