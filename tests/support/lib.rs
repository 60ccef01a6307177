//! What the suites share: real servers that are started for a test and gone after it.

pub mod postgres;
