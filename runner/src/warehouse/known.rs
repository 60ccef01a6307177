//! What is known of a table in the database, and what has to change in it before a batch fits: pure, the same for every
//! warehouse. Columns are added and types widen; nothing is dropped or narrowed.

use std::collections::{HashMap, HashSet};

use headwater_core::{
    error::{Error, Result},
    object::Type,
};

use super::{
    name,
    table::{Column, Layout, MAX_COLUMNS, MAX_TABLES, widen},
};

/// Names that Postgres keeps for itself in every table: columns are called the same everywhere, so that a schema can move.
const RESERVED: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

/// What the paths of the columns that Headwater fills itself begin with.
const OWN_PATH: &str = "_headwater:";

/// What is known of a table in the database.
#[derive(Debug)]
pub struct Table {
    pub layout: Layout,
    pub key: Vec<String>,
    pub columns: Vec<Stored>,
    /// By name in lower case: SQLite tells no `A` from `a`.
    by_name: HashMap<String, usize>,
    by_path: HashMap<String, usize>,
    /// Names of columns that are somebody else's.
    taken: HashSet<String>,
}

/// A column in the database.
#[derive(Debug)]
pub struct Stored {
    pub name: String,
    /// What it holds; none as long as nobody knows.
    pub kind: Option<Type>,
    pub path: String,
    /// Whether Headwater fills it itself.
    pub system: bool,
    /// The database does not let it widen: what does not fit goes to `_headwater_extra`.
    pub frozen: bool,
}

/// Where a batch's columns are in the table; none for those that have no place in it.
pub type Places = Vec<Option<usize>>;

/// What has to happen in the database; what is known of the table says so already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The column at this place is new.
    Add(usize),
    /// It was discovered before it was documented, and has another path now.
    Document(usize),
    /// Its type was the first, and is the second now.
    Widen(usize, Option<Type>, Type),
}

/// What a batch needs of a table.
#[derive(Debug)]
pub struct Growth {
    pub places: Places,
    pub steps: Vec<Step>,
    /// Columns that the table has no room for.
    turned_away: u64,
}

impl Growth {
    /// What a user should know.
    pub fn notice(&self, table: &str) -> Option<String> {
        (self.turned_away > 0).then(|| {
            format!(
                "table {table} has {MAX_COLUMNS} columns, the most it can have: {} more went to _headwater_extra",
                self.turned_away
            )
        })
    }
}

impl Table {
    /// One that has no columns yet.
    pub fn empty(layout: Layout, key: Vec<String>) -> Self {
        let (by_name, by_path) = (HashMap::new(), HashMap::new());
        Self { layout, key, columns: Vec::new(), by_name, by_path, taken: HashSet::new() }
    }

    /// One that is about to be made: it has the columns that Headwater fills itself.
    pub fn new(layout: Layout, key: &[String]) -> Self {
        let mut table = Self::empty(layout, key.to_vec());
        for (own, kind) in layout.system() {
            table.add(Stored::known((*own).to_owned(), Some(*kind), format!("{OWN_PATH}{own}")));
        }
        table
    }

    /// Of a table that the database has, as its own books say: layout and key in JSON.
    pub fn read(name: &str, layout: &str, key: &str) -> Result<Self> {
        let known = [Layout::Object, Layout::Call, Layout::Event, Layout::Entity];
        let layout = known.into_iter().find(|known| known.name() == layout).ok_or_else(|| {
            Error::config(format!(
                "table {name}: {layout:?} is no layout this version knows: use a newer one"
            ))
        })?;
        Ok(Self::empty(layout, serde_json::from_str(key)?))
    }

    /// Its key, as the database's own books keep it.
    pub fn key_json(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.key)?)
    }

    /// That a batch with another key or layout does not belong into it.
    pub fn check(&self, name: &str, layout: Layout, key: &[String]) -> Result<()> {
        if self.key == key && self.layout == layout {
            return Ok(());
        }
        Err(Error::config(format!(
            "table {name} has the key {} and cannot be loaded with the key {}: rename the table, it is then read anew",
            self.key.join(", "),
            key.join(", ")
        )))
    }

    /// The place of the column of that name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_lowercase()).copied()
    }

    /// Adds a column that the database has.
    pub fn add(&mut self, stored: Stored) -> usize {
        let place = self.columns.len();
        self.by_name.insert(stored.name.to_lowercase(), place);
        self.by_path.insert(stored.path.clone(), place);
        self.columns.push(stored);
        place
    }

    /// The database has a column of that name that Headwater did not make.
    pub fn take(&mut self, name: String) {
        self.taken.insert(name.to_lowercase());
    }

    /// Makes sure that there is a column for each of `columns` that is wide enough.
    pub fn grow(&mut self, columns: &[Column]) -> Growth {
        let mut growth = Growth { places: vec![None; columns.len()], steps: Vec::new(), turned_away: 0 };
        for at in order(columns) {
            let column = &columns[at];
            let Some(place) = self.place_of(column, &mut growth) else { continue };
            growth.places[at] = Some(place);
            let stored = &mut self.columns[place];
            let Some(kind) = column.kind else { continue };
            let wide = stored.kind.map_or(kind, |known| widen(known, kind));
            if stored.kind == Some(wide) || stored.frozen {
                continue;
            }
            // A new column is made wide enough at once.
            if !growth.steps.contains(&Step::Add(place)) {
                growth.steps.push(Step::Widen(place, stored.kind, wide));
            }
            stored.kind = Some(wide);
        }
        growth
    }

    /// The place of a column, which is added if it is not there; none if it cannot be, or nothing is known to be in it.
    fn place_of(&mut self, column: &Column, growth: &mut Growth) -> Option<usize> {
        if let Some(&known) = self.by_path.get(&column.path) {
            return Some(known);
        }
        if column.declared
            && let Some(known) = self.place(&column.name)
        {
            if self.columns[known].system {
                return None;
            }
            // It goes on under the same name.
            let before = std::mem::replace(&mut self.columns[known].path, column.path.clone());
            self.by_path.remove(&before);
            self.by_path.insert(column.path.clone(), known);
            growth.steps.push(Step::Document(known));
            return Some(known);
        }
        if column.kind.is_none() && !column.declared {
            return None;
        }
        let free = self.free_name(column).filter(|_| self.columns.len() < MAX_COLUMNS);
        let Some(free) = free else {
            growth.turned_away += 1;
            return None;
        };
        let place = self.add(Stored::known(free, None, column.path.clone()));
        growth.steps.push(Step::Add(place));
        Some(place)
    }

    /// The name that a new column gets: its own, or where another has that, one that depends on its path.
    fn free_name(&self, column: &Column) -> Option<String> {
        let is_free = |name: &str| {
            let name = name.to_lowercase();
            !self.by_name.contains_key(&name)
                && !self.taken.contains(&name)
                && !RESERVED.contains(&name.as_str())
        };
        [column.name.clone(), name::apart(&column.name, &column.path)].into_iter().find(|name| is_free(name))
    }
}

impl Stored {
    /// A column as the database's own books keep it.
    pub fn known(name: String, kind: Option<Type>, path: String) -> Self {
        let system = path.starts_with(OWN_PATH);
        Self { name, kind, path, system, frozen: false }
    }
}

/// The type of that name.
pub fn type_of(name: &str) -> Option<Type> {
    [Type::Bool, Type::Int, Type::Numeric, Type::Real, Type::Text, Type::Time, Type::Date, Type::Json]
        .into_iter()
        .find(|kind| kind.name() == name)
}

/// That a table has no place any more.
pub fn crowded(table: &str) -> Error {
    Error::config(format!(
        "table {table}: the schema has {MAX_TABLES} tables already: exclude some, or use another source for it"
    ))
}

/// That something else has the name of a table.
pub fn foreign(kind: &str, name: &str) -> Error {
    Error::config(format!("there is a {kind} {name} that Headwater did not make: rename it"))
}

/// What a user should know of calls whose events got no table.
pub fn crowd_notice(crowd: &[&str]) -> Option<String> {
    let first = crowd.first()?;
    Some(format!(
        "the schema has {MAX_TABLES} tables, the most it can have: {} events are only in tracks, {first} is one",
        crowd.len()
    ))
}

/// The order in which new columns take their names: documented ones first, then members that are already called so.
fn order(columns: &[Column]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|&at| {
        let column = &columns[at];
        (!column.declared, column.name != column.path, if column.declared { "" } else { &column.path })
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, path: &str, kind: Type) -> Column {
        Column { name: name.into(), path: path.into(), kind: Some(kind), declared: false }
    }

    #[test]
    fn a_table_grows_once() {
        let mut table = Table::new(Layout::Object, &["id".to_owned()]);
        let columns = [column("id", "id", Type::Text), column("a", "a", Type::Int)];
        let first = table.grow(&columns);
        assert_eq!(first.steps.len(), 2);
        assert!(table.grow(&columns).steps.is_empty());
        let place = table.place("a").unwrap();
        let wider = table.grow(&[column("a", "a", Type::Real)]);
        assert_eq!(wider.steps, [Step::Widen(place, Some(Type::Int), Type::Numeric)]);
        table.columns[place].frozen = true;
        assert!(table.grow(&[column("a", "a", Type::Text)]).steps.is_empty());
    }

    #[test]
    fn names_that_are_not_free_are_set_apart() {
        let mut table = Table::new(Layout::Object, &["id".to_owned()]);
        table.take("Mine".into());
        let growth = table.grow(&[column("mine", "mine", Type::Int), column("xmin", "xmin", Type::Int)]);
        let names: Vec<&str> =
            growth.places.iter().flatten().map(|&place| table.columns[place].name.as_str()).collect();
        assert!(names[0].starts_with("mine_") && names[1].starts_with("xmin_"), "{names:?}");
    }
}
