//! What the engine and its helper program say to each other.
