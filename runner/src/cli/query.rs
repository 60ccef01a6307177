//! `headwater query`: SQL over the embedded warehouse, read-only.

use clap::{Args as ClapArgs, ValueEnum};
use headwater_core::error::Result;

use super::{End, Globals};
use crate::{service::warehouse_folder, warehouse::query};

/// Ask the embedded warehouse.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The question: tables are named schema.table.
    sql: String,
    /// How to print the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The data folder, if it is not the configuration's (the demo prints its own).
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
    let folder = match args.data_dir {
        Some(folder) => folder,
        None => globals.config()?.data_dir,
    };
    let format = match args.format {
        Format::Table => query::Format::Table,
        Format::Csv => query::Format::Csv,
        Format::Jsonl => query::Format::Jsonl,
    };
    query::query(&warehouse_folder(&folder), &args.sql, format, &mut std::io::stdout().lock())?;
    Ok(End::Done)
}
