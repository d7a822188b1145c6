//! Fuzzing without special tools: seeded mutations of stored corpora, a fixed time per target. See `README.md`.

mod archives;
mod engine;
mod sandbox;
mod tarball;
mod targets;

use engine::fuzz;

#[test]
fn dockerfile() {
    fuzz(targets::dockerfile::target());
}

#[test]
fn frontend() {
    fuzz(targets::frontend::target());
}

#[test]
fn words() {
    fuzz(targets::words::target());
}

#[test]
fn heredocs() {
    fuzz(targets::heredocs::target());
}

#[test]
fn mounts() {
    fuzz(targets::mounts::target());
}

#[test]
fn patterns() {
    fuzz(targets::patterns::target());
}

#[test]
fn names() {
    fuzz(targets::names::target());
}

#[test]
fn documents() {
    fuzz(targets::documents::target());
}

#[test]
fn archives() {
    fuzz(targets::layers::archives());
}

#[test]
fn blobs() {
    fuzz(targets::layers::blobs());
}

#[test]
fn graph() {
    fuzz(targets::graph::target());
}

#[test]
fn repositories() {
    fuzz(targets::repositories::target());
}
