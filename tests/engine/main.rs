//! Whole runs of the engine, and of the pipeline, against a pretended vendor and the real embedded warehouse: what must hold
//! whatever the connector is.

mod away;
mod boundary;
mod confirm;
mod cursors;
mod durable;
mod families;
mod feeds;
mod kills;
mod lookups;
mod outbox;
mod outcomes;
mod partitions;
mod pipeline;
mod pretend;
mod replays;
mod service;
mod sweeps;
mod touches;
mod vendor;
mod windows;
mod world;
