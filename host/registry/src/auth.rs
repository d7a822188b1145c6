//! Challenges and tokens.
