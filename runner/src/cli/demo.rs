//! demo
use clap::Args as ClapArgs;
use headwater_core::error::Result;
use super::End;
/// Demo.
#[derive(ClapArgs)]
pub(super) struct Args {}
pub(super) async fn run(_: Args) -> Result<End> { Ok(End::Done) }
