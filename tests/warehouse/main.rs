//! What must hold for every warehouse. A law is a function with a doc comment, and each has broken warehouses that it
//! must catch: a law that nobody has tried to break is no law.
//!
//! A new warehouse is one more line of [`WAREHOUSES`], and a [`Stand`] that says how to look into it.

use libtest_mimic::{Arguments, Failed, Trial};

mod laws;
mod postgres;
mod query;
mod sqlite;
mod world;

use laws::{LAWS, Law};
use world::{Fault, Stand, World};

/// Makes an empty warehouse.
type Make = fn() -> Box<dyn Stand>;

/// Every warehouse, by name.
const WAREHOUSES: &[(&str, Make)] = &[("postgres", postgres::stand), ("sqlite", sqlite::stand)];

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for &(warehouse, stand) in WAREHOUSES {
        for law in LAWS {
            trials.push(Trial::test(format!("{warehouse}::{}", law.name), move || {
                holds(law, stand, None).map_err(Failed::from)
            }));
            for &fault in law.catches {
                trials.push(Trial::test(
                    format!("{warehouse}::{}::catches::{fault:?}", law.name),
                    move || match holds(law, stand, Some(fault)) {
                        Ok(()) => Err(Failed::from("the law holds for a broken warehouse")),
                        Err(_) => Ok(()),
                    },
                ));
            }
        }
    }
    for &(name, test) in query::TESTS {
        trials.push(Trial::test(format!("query::{name}"), move || {
            let folder = tempfile::tempdir()?;
            test(folder.path()).map_err(Failed::from)
        }));
    }
    for &(name, test) in postgres::TESTS {
        trials.push(Trial::test(format!("postgres::only::{name}"), move || test().map_err(Failed::from)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn holds(law: &Law, stand: Make, fault: Option<Fault>) -> Result<(), String> {
    (law.holds)(&World::new(stand(), fault))
}
