//! The client against a real server on loopback: what it asks, how often, when it gives up, and what it never says.

mod carry;
mod hosts;
mod limits;
mod pages;
mod retries;
mod server;
mod streams;
mod tokens;

use std::time::Duration;

use headwater_core::{
    auth::Auth,
    http::{Api, Client, Options},
};

use self::server::Server;

/// A vendor that no test reaches: every request goes to the stand-in.
pub const VENDOR: &str = "https://api.vendor.example";

/// Options that do not make a test wait.
pub fn quick(server: &Server) -> Options {
    Options {
        base_url: Some(server.url()),
        vault_key: "acme".into(),
        backoff: Duration::from_millis(5),
        attempt_timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

/// A client of an API without credentials and limits.
pub fn plain(server: &Server) -> Client {
    Client::new(Api::new(VENDOR, Auth::None), quick(server)).unwrap()
}
