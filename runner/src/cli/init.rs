//! `headwater init`: a configuration to begin with.

use std::io::Write;

use clap::Args as ClapArgs;
use headwater_core::error::{Error, Result};

use super::{End, Globals, say};

/// The file, as it is written: a test reads it.
const BEGINNING: &str = r#"# Headwater. `headwater validate` checks this file, `headwater catalog` lists the connectors.
data_dir = "headwater-data"

[receive]                       # what vendors and libraries reach
listen = "0.0.0.0:8080"
# public_url = "https://hooks.example.com"

[warehouse]
type = "sqlite"                 # one file a source, in data_dir/warehouse
# type = "postgres"             # or a schema a source, in a database that you have
# url = "${HEADWATER_POSTGRES}" # postgres://user:password@host:5432/database?sslmode=verify-full

# Your own site or app: any Segment library sends here with the write key that `headwater sources` shows.
[[source]]
name = "website"
connector = "segment"

# An app's objects. Secrets come from the environment.
# [[source]]
# name = "stripe_prod"
# connector = "stripe"
# schedule = "every 3h"
# start_date = "2024-01-01"
# settings = { api_key = "${STRIPE_KEY}" }

# A destination of all calls: each is posted as JSON, signed by Standard Webhooks.
# [[destination]]
# name = "crm"
# type = "webhook"               # or "segment", with a write_key: any Segment-compatible server
# url = "https://hooks.example.com/headwater"
# secret = "${CRM_SECRET}"       # whsec_ and what `openssl rand -base64 32` prints
"#;

/// Write a headwater.toml to begin with.
#[derive(ClapArgs)]
pub(super) struct Args {}

pub(super) fn run(globals: &Globals, _: Args) -> Result<End> {
    let file = &globals.file;
    let written = std::fs::File::create_new(file).and_then(|mut new| new.write_all(BEGINNING.as_bytes()));
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::config(format!("{} is there already: it was left as it is", file.display())));
        }
        Err(error) => return Err(Error::config(format!("{} cannot be written: {error}", file.display()))),
    }
    say(&format!("wrote {}: add your sources, then headwater run", file.display()))?;
    Ok(End::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_beginning_is_valid() {
        assert_eq!(Config::parse(BEGINNING, &|_| None).unwrap().source.len(), 1);
        let all = BEGINNING
            .replace("# [[", "[[")
            .replace("\n# ", "\n")
            .replace("Your own", "#")
            .replace("An app's", "#")
            .replace("A destination of", "#");
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let all =
            Config::parse(&all.replace("\nHeadwater", "\n# Headwater"), &|_| Some(secret.into())).unwrap();
        assert_eq!((all.source.len(), all.destination.len()), (2, 1));
    }
}
