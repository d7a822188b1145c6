//! The conformance tables that concern syntax: every row is run, and the number of rows is checked.

mod convert;
mod files;
mod instructions;
mod parser;
mod parser_tables;
mod shell;
mod support;
