//! `headwater query`: SQL over the warehouse, read-only.

use clap::{Args as ClapArgs, ValueEnum};
use headwater_core::error::Result;

use super::{End, Globals};
use crate::{
    config::WarehouseSettings,
    service::warehouse_folder,
    warehouse::query::{self, Place},
};

/// Ask the warehouse.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The question: tables are named schema.table.
    sql: String,
    /// How to print the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The data folder of an embedded warehouse, if it is not the configuration's (the demo prints its own).
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<std::path::PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Csv,
    Jsonl,
}

pub(super) fn run(globals: &Globals, args: Args) -> Result<End> {
    let (folder, warehouse) = match args.data_dir {
        Some(folder) => (folder, WarehouseSettings::Sqlite {}),
        None => {
            let config = globals.config()?;
            (config.data_dir, config.warehouse)
        }
    };
    let folder = warehouse_folder(&folder);
    let place = match &warehouse {
        WarehouseSettings::Sqlite {} => Place::Folder(&folder),
        WarehouseSettings::Postgres(settings) => Place::Postgres(settings),
    };
    let format = match args.format {
        Format::Table => query::Format::Table,
        Format::Csv => query::Format::Csv,
        Format::Jsonl => query::Format::Jsonl,
    };
    query::query(place, &args.sql, format, &mut std::io::stdout())?;
    Ok(End::Done)
}
