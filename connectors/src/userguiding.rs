//! UserGuiding: guides, hotspots, checklists, resource centers and surveys; one event a delivery, whose name ends in
//! ` (userguiding)`. Of four events the body is documented; the others have their Segment name in lower case.

mod calls;

use headwater_core::{name::snake, prelude::*};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "userguiding",
    "UserGuiding",
    "survey",
    "https://help.userguiding.com/en/articles/5377145-webhook-integration",
)
.settings::<UserGuiding>()
.events::<UserGuiding>(&WEBHOOK)
.spec(calls::SPEC);

/// Settings of a UserGuiding source: there are none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserGuiding {}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::None { why: "UserGuiding describes neither a signature nor credentials" },
    )],
    calls: calls::CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event",
    // There is neither an id nor a time, and a guide that is seen again is the same body.
    time: "received:",
    user: "payload.userId",
    // A visitor whom the site did not identify.
    otherwise: "'anonymous'",
    context: &[("page.url", "payload.pageUrl")],
    lift: &["payload"],
    calls: calls::CALLS,
    ..Mapping::NEW
};

impl EventSource for UserGuiding {
    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = MAPPING.call(item)?;
        call.name = call.name.map(|name| name.trim_end_matches(" Userguiding").to_owned());
        // `guideId` is Segment's `guide_id`.
        let mut properties = Fields::default();
        for (name, value) in call.properties.iter() {
            let ours = Some(snake(name)).filter(|ours| !ours.is_empty());
            let one = Fields::from_iter([(ours.unwrap_or_else(|| name.to_owned()), value.clone())]);
            properties.merge(one, "event_");
        }
        Ok(vec![call.properties(properties).into()])
    }
}
