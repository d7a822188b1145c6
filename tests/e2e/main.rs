//! Stories of users, told through the command line on real root file systems, registries and tools.

mod hello;
