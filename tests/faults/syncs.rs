//! Killed in mid-sync, over the whole life of a source: the next run goes on from its cursors.

use std::{sync::Arc, time::Duration};

use headwater::sandbox::{salesforce::Salesforce, stripe::Stripe, zendesk::Zendesk};

use crate::{
    Kind, kills,
    supervisor::{Broken, Plan},
};

/// A shop whose lists are one chain of pages each: one window.
pub const STRIPE: Plan = Plan {
    days: Some(88),
    pages: &[("limit=100", "limit=15")],
    greeting: &["/v1/account"],
    ..Plan::of(|account| Arc::new(Stripe::new(account)), 1_200)
};

/// A list that is newest first and takes no filter ends with its page: with a start date, rows before it depend on where pages end.
pub const WHOLE: Plan = Plan { days: Some(400), size: 300, open: (16, 4), ..STRIPE };

/// A help desk: exports by cursor and by time, and a feed. Exports are paced at ten requests a minute.
pub const ZENDESK: Plan = Plan {
    pages: &[("page%5Bsize%5D=100", "page%5Bsize%5D=20")],
    open: (8, 2),
    greeting: &["/api/v2/users/me.json", "/api/v2/ticket_fields.json"],
    ..Plan::of(|account| Arc::new(Zendesk::new(account)), 300)
};

/// An organisation with fifty small objects, and one that is read by a job; its tokens end all the time.
const SALESFORCE: Plan = Plan {
    tokens: true,
    open: (8, 2),
    longest: Duration::from_millis(2_500),
    ..Plan::of(|account| Arc::new(Salesforce::new(account)), 120)
};

#[test]
fn stripe_goes_on_from_its_cursors() {
    STRIPE.run("syncs::stripe_goes_on_from_its_cursors", 100, 2, kills(24));
}

#[test]
fn stripe_goes_on_in_every_window() {
    let plan = Plan { days: Some(400), open: (16, 4), size: 900, world: 6, ..STRIPE };
    plan.run("syncs::stripe_goes_on_in_every_window", 200, 1, kills(14));
}

#[test]
fn a_shop_that_changes_and_a_network_that_fails() {
    let plan = Plan { trouble: true, changes: (6, 60), ..WHOLE };
    plan.run("syncs::a_shop_that_changes_and_a_network_that_fails", 300, 2, kills(20));
}

#[test]
fn tables_that_grow_all_the_way() {
    let plan = Plan { grows: true, ..WHOLE };
    plan.run("syncs::tables_that_grow_all_the_way", 400, 2, kills(24));
}

#[test]
fn zendesk_goes_on_from_its_cursors() {
    ZENDESK.run("syncs::zendesk_goes_on_from_its_cursors", 500, 1, kills(14));
}

#[test]
fn a_help_desk_that_changes_and_a_network_that_fails() {
    let plan = Plan { trouble: true, changes: (2, 30), ..ZENDESK };
    plan.run("syncs::a_help_desk_that_changes_and_a_network_that_fails", 600, 1, kills(14));
}

#[test]
fn salesforce_keeps_its_tokens() {
    let plan = Plan { changes: (5, 30), ..SALESFORCE };
    plan.run("syncs::salesforce_keeps_its_tokens", 700, 2, kills(24));
}

#[test]
fn a_shop_in_postgres() {
    let plan = Plan { warehouse: Kind::Postgres, trouble: true, changes: (6, 60), ..WHOLE };
    plan.run("syncs::a_shop_in_postgres", 350, 1, kills(14));
}

#[test]
fn tables_that_grow_all_the_way_in_postgres() {
    let plan = Plan { warehouse: Kind::Postgres, grows: true, ..WHOLE };
    plan.run("syncs::tables_that_grow_all_the_way_in_postgres", 450, 1, kills(12));
}

#[test]
#[should_panic(expected = "it started over")]
fn starting_over_would_be_noticed() {
    // A life that is killed before it asks for much repeats little.
    let longest = Duration::from_secs(20);
    let plan = Plan { broken: Broken::StartsOver, pages: &[("limit=100", "limit=6")], longest, ..STRIPE };
    plan.run("syncs::starting_over_would_be_noticed", 100, 1, 4);
}

#[test]
#[should_panic(expected = "the tables differ")]
fn a_row_that_is_another_one_would_be_noticed() {
    let plan = Plan { broken: Broken::ChangesRow, size: 400, ..STRIPE };
    plan.run("syncs::a_row_that_is_another_one_would_be_noticed", 100, 1, 1);
}

#[test]
#[should_panic(expected = "withdrawn")]
fn a_token_that_is_used_before_it_is_kept_would_be_noticed() {
    let plan = Plan { broken: Broken::ForgetsState, ..SALESFORCE };
    plan.run("syncs::a_token_that_is_used_before_it_is_kept_would_be_noticed", 700, 1, 12);
}
