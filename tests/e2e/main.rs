//! The real program, end to end: a folder, a configuration, the binary, vendors on loopback ports, and what is in the
//! warehouse afterwards.
//!
//! `service` talks to it while it runs, `received` and `vendors` feed it what nobody should send, `destinations` lets it send on to
//! servers that answer as they like, `commands` goes through the command line from an empty folder. `HEADWATER_TEST_LONG=1` makes
//! worlds and patience larger. What kills it is in `faults`.

mod apps;
mod commands;
mod configs;
mod destinations;
mod full_disk;
mod handover;
mod overload;
mod postgres;
mod received;
mod refused;
mod replay;
mod service;
mod taker;
mod vault;
mod vendors;

use headwater_tests::{disk, house, is_long, root, stall, vendor};
