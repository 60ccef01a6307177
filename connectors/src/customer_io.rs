//! Customer.io: what becomes of its messages, as reporting webhooks post it (signed, one event a delivery), and the
//! Email Spec, which its Segment integration posts with a write key.

mod calls;

use headwater_core::{prelude::*, spec::EMAIL};

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("customer-io", "Customer.io", "email", "https://docs.customer.io/journeys/webhooks/")
        .settings::<CustomerIo>()
        .events::<CustomerIo>(&WEBHOOK)
        .spec(EMAIL);

/// Settings of a Customer.io source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerIo {
    /// The reporting webhook's signing key; two while it is being changed, the newer first. Customer.io's Segment
    /// integration needs none.
    #[serde(default)]
    signing_key: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Hmac(Hmac {
            over: &[Part::Text("v0:"), Part::Stamp, Part::Text(":"), Part::Body],
            stamp: Some(Stamp::header(&["X-CIO-Timestamp"], StampFormat::UnixSeconds)),
            ..Hmac::body(Place::Header(&["X-CIO-Signature"]))
        }),
    )],
    calls: calls::CALLS,
};

const MAPPING: Mapping = Mapping {
    id: &["event_id"],
    time: "timestamp",
    user: "data.identifiers.id|data.customer_id",
    anonymous: "data.identifiers.email|data.email_address|data.identifiers.cio_id",
    otherwise: "data.recipient",
    email: "data.identifiers.email|data.email_address",
    names: &[("data.subject", "email_subject"), ("data.href", "link_url")],
    lift: &["data"],
    calls: calls::CALLS,
    ..Mapping::NEW
};

impl EventSource for CustomerIo {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.signing_key.all()
    }

    /// What an event is called stands in two members: the kind of message, and what became of it.
    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let object: String = item.record.get("object_type")?;
        let metric: String = item.record.get("metric")?;
        let call = match WEBHOOK.by_native(&format!("{object}.{metric}")) {
            Some(listed) => listed.call(),
            None => Call::track(format!("{} {}", calls::channel(&object), title_case(&metric)).trim()),
        };
        // Of other messages the recipient is a channel of Slack, a webhook, devices.
        let mapping = match object.as_str() {
            "email" => Mapping { email: "data.recipient|data.identifiers.email", ..MAPPING },
            "sms" => Mapping { context: &[("traits.phone", "data.recipient")], ..MAPPING },
            _ => MAPPING,
        };
        Ok(vec![mapping.fill(item, call)?.into()])
    }
}
