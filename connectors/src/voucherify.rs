//! Voucherify: redemptions, rewards, loyalty points, and what happens to vouchers and campaigns; one signed event a
//! delivery. Project webhooks and distributions post the same envelope; a distribution's raw payload is yours alone,
//! and is not mapped. Types that are not listed (earning rules, referral tiers, …) are track calls with their words
//! as name.

mod calls;

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "voucherify",
    "Voucherify",
    "loyalty",
    "https://docs.voucherify.io/api-reference/introduction-to-webhooks",
)
.settings::<Voucherify>()
.events::<Voucherify>(&WEBHOOK)
.spec(calls::SPEC);

/// Settings of a Voucherify source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Voucherify {
    /// The secret key of the project's webhooks (Project settings); two while it is being changed, the newer first.
    #[serde(default)]
    secret_key: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Hmac(Hmac {
            over: &[Part::BodyMinified],
            ..Hmac::body(Place::Header(&["x-voucherify-signature"]))
        }),
    )],
    calls: calls::CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event.type|type",
    id: &["event.id|id"],
    time: "event.created_at|created_at",
    user: "data.customer.source_id|data.holder.source_id",
    anonymous: "data.customer.email|data.customer.id|data.holder.email|data.holder.id|data.order.customer_id|\
                data.voucher.holder_id|data.voucher.id|data.campaign.id|data.rule.id|project_id",
    email: "data.customer.email|data.holder.email",
    names: &[
        ("id", "sendout_id"),
        ("created_at", "sendout_created_at"),
        ("source", "webhook"),
        ("event", "trigger"),
    ],
    // Our own address, with its key.
    secret: &["source.target_url"],
    lift: &["data"],
    prefix: "data_",
    calls: calls::CALLS,
    ..Mapping::NEW
};
const CUSTOMER: Mapping = Mapping { lift: &["data.customer", "data"], prefix: "customer_", ..MAPPING };

impl EventSource for Voucherify {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secret_key.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let kind = item.record.first_text(&["event.type", "type"])?;
        let is_customer = matches!(kind.as_deref(), Some("customer.created" | "customer.updated"));
        let mapping = if is_customer { CUSTOMER } else { MAPPING };
        Ok(vec![mapping.call(item)?.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_verify() {
        for (body, signature) in [
            ("{\n  \"a\": 1\n}", "a17d2ac229d1ebbb5f10e839c7985c4818e5986eab297f7e5979196d4d7d3ed2"),
            ("{\"a\":1}", "a17d2ac229d1ebbb5f10e839c7985c4818e5986eab297f7e5979196d4d7d3ed2"),
            ("{\n  \"a\\\"b\": 1\n}", "f7cf97814a03146abedb9793f56e1dec34f618f82d10395310d053f749483ffb"),
        ] {
            let now = Timestamp::UNIX_EPOCH;
            let mut delivery = Delivery::fetched(now, body.into());
            delivery.headers.insert("x-voucherify-signature", signature.parse().unwrap());
            let verify = |key| WEBHOOK.surfaces[0].signature.verify(&delivery, &[Secret::new(key)], now);
            assert!(verify("secretKey").is_ok(), "{body}");
            assert!(verify("another").is_err(), "{body}");
        }
    }
}
