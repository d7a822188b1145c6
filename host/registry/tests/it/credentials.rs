//! Docker's and podman's credential files, and helpers.
