//! The contract's types under short names.

pub(crate) use kiln_sdk::frontend::Failure;
pub(crate) use kiln_sdk::frontend::Lowered;
pub(crate) use kiln_sdk::frontend::Output;
pub(crate) use kiln_sdk::frontend::Request;
pub(crate) use kiln_sdk::frontend::ResolvedImage;
pub(crate) use kiln_sdk::frontend::ResolvedSource;
pub(crate) use kiln_sdk::graph;
pub(crate) use kiln_sdk::graph::Definition;
pub(crate) use kiln_sdk::graph::Input;
pub(crate) use kiln_sdk::graph::Op;
pub(crate) use kiln_sdk::graph::Source;
pub(crate) use kiln_sdk::graph::Vertex;
pub(crate) use kiln_sdk::types::Attr;
pub(crate) use kiln_sdk::types::Diagnostic;
pub(crate) use kiln_sdk::types::Platform;
pub(crate) use kiln_sdk::types::Position;
pub(crate) use kiln_sdk::types::SourceFile;
pub(crate) use kiln_sdk::types::Span;
