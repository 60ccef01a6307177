//! Antavo: loyalty events and profile updates, as the Webhook message of a workflow, whose body its author writes. This
//! one maps whole (`{customer._id}` is Antavo's own token; the author puts in the tokens of the workflow's event):
//!
//! ```json
//! {"action": "point_add", "customer_id": "{customer._id}", "email": "…", "id": "…", "timestamp": "…",
//!  "data": {"points": 5000}}
//! ```
//!
//! Antavo sends a message up to five times: without an `id`, two bodies that are the same in every byte are one event.
//! The action `profile` is an identify call with `data` as traits; every other one is a track call of that name.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("antavo", "Antavo", "loyalty", "https://docs.antavo.com/docs/webhooks")
        .settings::<Antavo>()
        .events::<Antavo>(&WEBHOOK)
        .spec(CALLS);

/// Settings of an Antavo source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Antavo {
    /// What the trusted site authenticates with: `user:password` for Basic, the token for a bearer token, or
    /// `Name: value` for a header of its own; two while it is being changed, the newer first. Antavo signs nothing:
    /// without it only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    token: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::CREDENTIALS,
            why: "Antavo signs nothing, and credentials are a choice of the trusted site's",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "action",
    verbatim: true,
    id: &["id"],
    time: "timestamp",
    user: "customer_id",
    otherwise: "email|data.email",
    email: "email|data.email",
    lift: &["data"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Antavo {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.token.all()
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

const CALLS: &[CallType] = &[
    CallType::new(CallKind::Identify, "", "first_name text, last_name text")
        .native("profile")
        .when("an attribute that is synchronised has changed"),
    CallType::track("point_add", "points int").native("point_add").when("points were given"),
    CallType::track("", "").when(
        "any other event, built in (point_spend, checkout, refund, opt_in, daily_login …) or custom, under its own name",
    ),
];
