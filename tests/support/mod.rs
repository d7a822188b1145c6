//! What tests of the command line share: the binary, stores, contexts, images as files, services. Everything that is
//! started or mounted here ends with the value that stands for it.

mod bucket;
mod image;
mod kiln;
mod place;
mod process;
mod project;
mod registry;
mod repository;
mod sshd;
mod tree;
mod web;
mod writer;

pub use bucket::Bucket;
pub use bucket::tools;
pub use image::Image;
pub use image::Layout;
pub use kiln::Kiln;
pub use place::kiln_bin;
pub use place::repo;
pub use place::root_layout;
pub use place::shared;
pub use process::Outcome;
pub use process::Running;
pub use process::run;
pub use process::tool;
pub use project::Project;
pub use registry::Registry;
pub use repository::Repositories;
pub use repository::Repository;
pub use sshd::Sshd;
pub use tree::listing;
pub use web::Page;
pub use web::Seen;
pub use web::Web;
pub use writer::Entry;
pub use writer::LayoutWriter;
pub use writer::digest_of;
pub use writer::gzip;
pub use writer::tar_of;
