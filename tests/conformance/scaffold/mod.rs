//! The connector that `headwater new` begins: `acme.rs` is what it writes, compiled here, so that all laws run over it.

use std::sync::Arc;

use headwater::cli::new;
use libtest_mimic::{Failed, Trial};

use crate::{cases, fixture::Fixtures, subject::Subject};

mod acme;

/// The laws over it, and that it is what the command writes today.
pub fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("new::is_what_is_compiled_here", || {
        match new::source("acme", "Acme") == include_str!("acme.rs") {
            true => Ok(()),
            false => Err(Failed::from(
                "headwater new acme writes another module: copy it to tests/conformance/scaffold/acme.rs",
            )),
        }
    })];
    let files = new::files("acme").into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    match Fixtures::parse(&files) {
        Ok(fixtures) => {
            let subject = Arc::new(Subject { connector: &acme::CONNECTOR, fixtures });
            trials.extend(cases(&subject).into_iter().map(|case| case.trial("new::acme", &subject)));
        }
        Err(why) => trials.push(Trial::test("new::acme::fixtures", move || Err(Failed::from(why)))),
    }
    trials
}
