//! `headwater validate`: is the configuration file right, and can this version open what is in the data folder?

use clap::Args as ClapArgs;
use headwater_core::error::Result;

use super::{End, Globals, say};
use crate::config::Config;

/// Check the configuration file, and that this version can open the data folder.
#[derive(ClapArgs)]
pub(super) struct Args {}

pub(super) fn run(globals: &Globals, _: Args) -> Result<End> {
    let config = Config::load(&globals.file, true)?;
    crate::service::check_versions(&config.data_dir)?;
    let (sources, destinations) = (config.source.len(), config.destination.len());
    let more = if destinations > 0 { format!(", {destinations} destinations") } else { String::new() };
    say(&format!("{} is good: {sources} sources{more}", globals.file.display()))?;
    Ok(End::Done)
}
