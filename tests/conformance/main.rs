//! What must hold for every connector. A law is a function with a doc comment, run as named tests over the registry and
//! `fixtures/`: `zendesk::tickets::resume`, `klaviyo::opened_email::mapping`. No connector adds a line here.
//!
//! The laws of events need neither the engine nor a warehouse: with `--no-default-features` they run without building the program.
//!
//! Read `laws/mod.rs` first; `broken.rs` has, for each law, a source that it must catch.

#![cfg_attr(
    not(feature = "program"),
    allow(dead_code, unused_imports, reason = "the laws of objects are left out")
)]

use std::sync::Arc;

use headwater_tests::{fixture, subject};
use libtest_mimic::{Arguments, Failed, Trial};

#[cfg(feature = "program")]
mod broken;
mod docs;
#[cfg(feature = "program")]
mod engine;
mod laws;
mod reading;
mod replay;
#[cfg(feature = "program")]
mod scaffold;
#[cfg(feature = "program")]
mod toy;

use laws::{Holds, LAWS, Law, Verdict};
use subject::Subject;

fn main() {
    let mut arguments = Arguments::from_args();
    // They wait more than they work.
    arguments.test_threads.get_or_insert(8);
    // A runner that asks for one test in a process of its own has no use for the fixtures of all others.
    let one = arguments.filter.clone().filter(|_| arguments.exact);
    let is_of = |name: &str, test: &str| test.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"));
    let mut trials = Vec::new();
    for (name, subject) in Subject::those(|name| one.as_deref().is_none_or(|test| is_of(name, test))) {
        match subject {
            Ok(subject) => trials.extend(cases(&subject).into_iter().map(|case| case.trial(name, &subject))),
            Err(why) => trials.push(Trial::test(format!("{name}::fixtures"), move || Err(Failed::from(why)))),
        }
    }
    trials.push(Trial::test("registry::names", || laws::registry().map_err(Failed::from)));
    #[cfg(feature = "program")]
    trials.extend(broken::trials().into_iter().chain(scaffold::trials()));
    libtest_mimic::run(&arguments, trials).exit();
}

/// A law, and what of a connector it looks at ("" for all of it).
struct Case {
    law: &'static Law,
    part: String,
}

/// Everything that has to hold for a connector.
fn cases(subject: &Subject) -> Vec<Case> {
    let all = |law: &'static Law| -> Vec<Case> {
        let parts: Vec<String> = match law.holds {
            Holds::Connector(_) => vec![String::new()],
            Holds::Collection(_) => subject.collections().into_iter().map(str::to_owned).collect(),
            Holds::Root(_) => subject.roots().into_iter().map(str::to_owned).collect(),
            Holds::Delivery(_) => {
                subject.fixtures.deliveries.iter().map(|sample| sample.name.clone()).collect()
            }
        };
        parts.into_iter().map(|part| Case { law, part }).collect()
    };
    LAWS.iter().flat_map(all).collect()
}

impl Case {
    fn name(&self) -> String {
        match self.part.as_str() {
            "" => self.law.name.to_owned(),
            part => format!("{part}::{}", self.law.name),
        }
    }

    fn holds(&self, subject: &Subject) -> Verdict {
        match self.law.holds {
            Holds::Connector(law) => law(subject),
            Holds::Collection(law) | Holds::Root(law) => law(subject, &self.part),
            Holds::Delivery(law) => {
                let sample = subject.fixtures.deliveries.iter().find(|sample| sample.name == self.part);
                law(subject, sample.ok_or("there is no such delivery")?)
            }
        }
    }

    fn trial(self, of: &str, subject: &Arc<Subject>) -> Trial {
        let subject = Arc::clone(subject);
        Trial::test(format!("{of}::{}", self.name()), move || self.holds(&subject).map_err(Failed::from))
    }
}
