//! The program behind the command line: everything that runs.
//!
//! Read [`service`] first: it puts the parts together. An object's way leads through [`sync`], an event's through [`receive`],
//! [`inbox`] and [`pipeline`]; both end in [`warehouse`], calls also in [`destinations`].

mod bloom;
pub mod cli;
pub mod config;
pub mod destinations;
pub mod inbox;
pub mod pipeline;
pub mod receive;
pub mod sandbox;
pub mod service;
pub mod state;
pub mod sync;
mod thread;
pub mod warehouse;
