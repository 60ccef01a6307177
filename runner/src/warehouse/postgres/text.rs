//! The statements of one table: written once, when the table becomes known.

use headwater_core::error::Result;
use headwater_core::{error::Error, object::Type};
use sha2::{Digest, Sha256};

use super::value::sql_type;
use crate::warehouse::{
    known::{Stored, Table},
    name::quote,
    table::Layout,
};

/// Which columns of a changed row are given, in the temporary table: all of them if it is null.
pub const GIVEN: &str = "_headwater_given";

/// The statements of one table.
#[derive(Debug)]
pub struct Texts {
    /// The places of the columns that are written, in the order in which all statements name them: the key's first, then
    /// the others, then those that Headwater fills itself, in the layout's order.
    pub order: Vec<usize>,
    /// How many of them are the key's.
    pub keys: usize,
    /// How many of them are not Headwater's own.
    pub plain: usize,
    /// What is there of these keys: place, version, whether it is deleted, delivery.
    pub find: String,
    /// Rows that are new.
    pub insert: String,
    /// The temporary table for rows that change, and how it is filled and emptied.
    pub stage: String,
    pub fill: String,
    pub empty: String,
    /// Rows that are whole: what they lack becomes null.
    pub whole: String,
    /// Rows that are parts: what they lack stays.
    pub part: String,
    /// A pass has met rows that are newer than what it brought of them.
    pub seen: String,
}

/// Whether Headwater writes the column: one that a user has given another type is left alone.
pub fn is_written(stored: &Stored) -> bool {
    stored.kind != Some(Type::Object)
}

impl Texts {
    /// Of a table in this schema.
    pub fn new(schema: &str, name: &str, table: &Table) -> Result<Self> {
        let target = format!("{}.{}", quote(schema), quote(name));
        let mut order = Vec::with_capacity(table.columns.len());
        for key in &table.key {
            let place = table.place(key).filter(|place| is_written(&table.columns[*place]));
            order.push(place.ok_or_else(|| {
                Error::config(format!(
                    "table {schema}.{name}: its key column {key} is gone or was altered: rename the table, it is then read anew"
                ))
            })?);
        }
        let keys = order.len();
        let written = |place: &usize| !table.columns[*place].system && is_written(&table.columns[*place]);
        let plain: Vec<usize> =
            (0..table.columns.len()).filter(written).filter(|place| !order.contains(place)).collect();
        order.extend(plain);
        let plain = order.len();
        for (own, _) in table.layout.system() {
            order.push(table.place(own).ok_or_else(|| {
                Error::config(format!(
                    "table {schema}.{name}: its column {own} is gone: rename the table, it is then read anew"
                ))
            })?);
        }
        let names: Vec<String> = order.iter().map(|place| quote(&table.columns[*place].name)).collect();
        let types: Vec<&str> = order.iter().map(|place| sql_type(table.columns[*place].kind)).collect();
        let list = names.join(", ");

        let arrays: Vec<String> =
            types[..keys].iter().enumerate().map(|(at, kind)| format!("${}::{kind}[]", at + 1)).collect();
        let arrays = arrays.join(", ");
        let looked_up: Vec<String> = (0..keys).map(|at| format!("k{at}")).collect();
        let looked_up = looked_up.join(", ");
        let joined: Vec<String> = (0..keys).map(|at| format!("t.{} = k.k{at}", names[at])).collect();
        let joined = joined.join(" AND ");
        let state = match table.layout {
            Layout::Object => "t._headwater_version, t.is_deleted, NULL::text",
            Layout::Entity => "t._headwater_version, false, NULL::text",
            Layout::Call | Layout::Event => "NULL::bigint, false, t._headwater_delivery",
        };
        let find = format!(
            "SELECT k.n, {state} FROM unnest({arrays}) WITH ORDINALITY AS k({looked_up}, n) JOIN {target} t ON {joined}"
        );
        let seen = format!(
            "UPDATE {target} t SET _headwater_pass = k.pass FROM unnest({arrays}, ${}::text[]) AS k({looked_up}, pass) \
             WHERE {joined} AND t._headwater_pass IS DISTINCT FROM k.pass",
            keys + 1
        );

        let defined: Vec<String> =
            names.iter().zip(&types).map(|(name, kind)| format!("{name} {kind}")).collect();
        let defined = defined.join(", ");
        let digest = hex::encode(&Sha256::digest(format!("{target} {defined}"))[..12]);
        let staged = quote(&format!("_headwater_stage_{digest}"));
        let same: Vec<String> = names[..keys].iter().map(|name| format!("t.{name} = s.{name}")).collect();
        let update = |set: &dyn Fn(usize, &str) -> String, which: &str| {
            let sets: Vec<String> =
                (keys..names.len()).map(|at| format!("{} = {}", names[at], set(at, &names[at]))).collect();
            format!(
                "UPDATE {target} t SET {} FROM pg_temp.{staged} s WHERE {} AND s.{GIVEN} IS {which}",
                sets.join(", "),
                same.join(" AND ")
            )
        };
        // A pass that has met a row has met it.
        let own = |name: &str, extra: &str| match name {
            "\"_headwater_pass\"" => "coalesce(s._headwater_pass, t._headwater_pass)".to_owned(),
            "\"_headwater_extra\"" => extra.to_owned(),
            _ => format!("s.{name}"),
        };
        let whole = update(&|_, name| own(name, "s._headwater_extra"), "NULL");
        let part = update(
            &|at, name| match at < plain {
                true => format!("CASE WHEN get_bit(s.{GIVEN}, {at}) = 1 THEN s.{name} ELSE t.{name} END"),
                false => own(name, MERGED_EXTRA),
            },
            "NOT NULL",
        );
        Ok(Self {
            keys,
            plain,
            find,
            insert: format!("COPY {target} ({list}) FROM STDIN (FORMAT binary)"),
            stage: format!(
                "CREATE TEMPORARY TABLE IF NOT EXISTS {staged} ({defined}, {GIVEN} bytea) ON COMMIT DELETE ROWS"
            ),
            fill: format!("COPY pg_temp.{staged} ({list}, {GIVEN}) FROM STDIN (FORMAT binary)"),
            empty: format!("TRUNCATE pg_temp.{staged}"),
            whole,
            part,
            seen,
            order,
        })
    }
}

/// What a part brings for `_headwater_extra` replaces what was there under the same path, and leaves the rest, digit by digit.
const MERGED_EXTRA: &str = "CASE WHEN s._headwater_extra IS NULL THEN t._headwater_extra \
    WHEN t._headwater_extra IS NULL THEN s._headwater_extra \
    ELSE (SELECT '{' || string_agg(to_json(e.key)::text || ':' || e.value::text, ',') || '}' FROM ( \
        SELECT key, value FROM json_each(t._headwater_extra::json) \
        WHERE key NOT IN (SELECT json_object_keys(s._headwater_extra::json)) \
        UNION ALL SELECT key, value FROM json_each(s._headwater_extra::json)) e) END";
