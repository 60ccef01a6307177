//! The laws, in one list.

use crate::world::{Fault, World};

mod calls;
mod gone;
mod merge;
mod shape;

/// A law, and what it must catch.
pub struct Law {
    pub name: &'static str,
    pub holds: fn(&World) -> Result<(), String>,
    pub catches: &'static [Fault],
}

/// Every law.
pub const LAWS: &[Law] = &[
    Law { name: "growth", holds: shape::growth, catches: &[Fault::DropsNewColumns] },
    Law { name: "widening", holds: shape::widening, catches: &[Fault::LosesWidened] },
    Law {
        name: "columns",
        holds: shape::columns,
        catches: &[Fault::DropsBeyond(900), Fault::DropsBeyond(999)],
    },
    Law { name: "identifiers", holds: shape::identifiers, catches: &[Fault::CutsNames] },
    Law { name: "collisions", holds: shape::collisions, catches: &[Fault::MergesSpellings] },
    Law { name: "reserved", holds: shape::reserved, catches: &[Fault::DropsBeyond(1)] },
    Law { name: "text", holds: shape::text, catches: &[Fault::DropsBeyond(1)] },
    Law { name: "declared", holds: shape::declared, catches: &[Fault::DropsBeyond(1)] },
    Law { name: "order", holds: merge::order, catches: &[Fault::IgnoresVersions, Fault::IgnoresDeletes] },
    Law { name: "whole", holds: merge::whole, catches: &[Fault::DropsBeyond(1)] },
    Law { name: "patch", holds: merge::patch, catches: &[Fault::PatchesAsUpserts] },
    Law { name: "counts", holds: merge::counts, catches: &[Fault::IgnoresVersions, Fault::IgnoresDeletes] },
    Law { name: "overlap", holds: merge::overlap, catches: &[Fault::ForgetsOverlap] },
    Law { name: "twice", holds: merge::twice, catches: &[Fault::RepeatsLoads] },
    Law { name: "together", holds: merge::together, catches: &[Fault::ProgressFirst] },
    Law { name: "rejects", holds: merge::rejects, catches: &[Fault::LosesNeighbours, Fault::DropsRejects] },
    Law { name: "pages_of_keys", holds: merge::pages_of_keys, catches: &[Fault::IgnoresDeletes] },
    Law {
        name: "tombstones",
        holds: gone::tombstones,
        catches: &[Fault::IgnoresDeletes, Fault::ForgetsTombstones],
    },
    Law { name: "revive", holds: gone::revive, catches: &[Fault::NeverRevives] },
    Law { name: "sweep", holds: gone::sweep, catches: &[Fault::SweepsLaterRows, Fault::DropsPasses] },
    Law { name: "sweep_holds", holds: gone::sweep_holds, catches: &[Fault::SweepsAll] },
    Law {
        name: "sweep_spares_stale_rows",
        holds: gone::sweep_spares_stale_rows,
        catches: &[Fault::DropsPasses],
    },
    Law { name: "prune", holds: gone::prune, catches: &[Fault::DropsPrunes, Fault::PrunesAll] },
    Law { name: "call_tables", holds: calls::call_tables, catches: &[Fault::RepeatsCalls] },
    Law { name: "duplicates", holds: calls::duplicates, catches: &[Fault::RepeatsCalls] },
    Law { name: "crowd", holds: calls::crowd, catches: &[Fault::DropsCrowd] },
    Law { name: "replay", holds: calls::replay, catches: &[Fault::IgnoresReplays] },
    Law { name: "reading", holds: calls::reading, catches: &[Fault::RepeatsCalls] },
];

/// Ends the law unless both are the same.
macro_rules! same {
    ($one:expr, $other:expr, $($what:tt)+) => {
        match (&$one, &$other) {
            (one, other) if one == other => {}
            (one, other) => return Err(format!("{}: {one:?} is not {other:?}", format_args!($($what)+))),
        }
    };
}
pub(crate) use same;

/// Ends the law if it did not work.
pub fn done<T>(result: headwater_core::error::Result<T>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
