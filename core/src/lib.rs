//! What a connector is made of. It knows no vendor, no database and no command line.
//!
//! Read [`connector`] first, then [`object`] or [`event`]; [`rest`] is what most collections do.

pub mod auth;
pub mod connector;
pub mod cursor;
pub mod error;
pub mod event;
pub mod format;
pub mod http;
pub mod name;
pub mod object;
pub mod record;
pub mod rest;
pub mod signature;
pub mod spec;
pub mod time;

/// What a connector's module starts with: `use headwater_core::prelude::*;`
pub mod prelude {
    pub use std::time::Duration;

    pub use async_trait::async_trait;
    pub use jiff::Timestamp;
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;
    pub use serde_json::{Value, json};

    pub use crate::{
        auth::{Auth, Aws, Carry, ClientAuth, Grant, OAuth, Secret, Secrets},
        connector::Connector,
        cursor::{At, More, Pages, Partition, Put, Read, Since, TimeFormat, Windows},
        error::{Error, Kind, Result},
        event::{
            Delivery, EventPull, EventSource, Handshake, Item, Items, Mapping, Output, Pulled, Reply,
            Surface, Webhook, title_case,
        },
        http::{Answer, Api, Client, Limit, Of, Per},
        object::{
            Account, Change, Collection, Deletes, Endpoint, Feed, Format, From, ObjectSource, Op, Page, Pull,
            Request, Reread, Version,
        },
        record::{Fields, Raw, Record},
        rest,
        signature::{Encoding, Grammar, Hash, Hmac, Key, Part, Place, Signature, Stamp, StampFormat},
        spec::{Call, CallKind, CallType},
        time::parse_time,
    };
}
