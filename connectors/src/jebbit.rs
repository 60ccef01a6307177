//! Jebbit: what people answered in quizzes and other experiences; a delivery holds finished sessions, and each becomes a
//! track call and an identify call.
//!
//! The attributes of a session are those that the campaign maps: name them `email`, `client_user_id` and
//! `experience_date` for the person and the time to be found. A session without a date has that of its delivery.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "jebbit",
    "Jebbit",
    "survey",
    "https://support-experiences.blueconic.com/en/articles/246971-api-overview",
)
.settings::<Jebbit>()
.events::<Jebbit>(&WEBHOOK)
.spec(CALLS);

/// Settings of a Jebbit source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jebbit {
    /// The `shared_secret` that was given once, when the webhook integration was made; two while it is being changed,
    /// the newer first.
    #[serde(default)]
    shared_secret: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Hmac(Hmac {
            encoding: Encoding::Base64,
            grammar: Grammar::Pairs { time: "t", signature: "v1" },
            over: &[Part::Stamp, Part::Text("."), Part::Body],
            stamp: Some(Stamp::BESIDE),
            ..Hmac::body(Place::Header(&[SIGNATURE]))
        }),
    )],
    calls: CALLS,
};

const SIGNATURE: &str = "x-jebbit-signature";

const MAPPING: Mapping = Mapping {
    user: "data.client_user_id",
    otherwise: "data.email|data.surveySessionId|'anonymous'",
    email: "data.email",
    lift: &["data", "event"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Jebbit {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.shared_secret.all()
    }

    /// A test of the integration is answered and not kept, if it is signed as it should be.
    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        delivery.header("x-jebbit-test")?;
        let signature = &WEBHOOK.surfaces[0].signature;
        signature.verify(delivery, &self.shared_secret.all(), delivery.received_at).ok()?;
        Some(Handshake { reply: Reply::OK, then: None })
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let dated = item.record.text("data.experience_date")?.and_then(|text| parse_time(&text));
        let finished = MAPPING.fill(item, CALLS[0].call())?.at(dated.or_else(|| sent(item)));
        let mut known = Call { kind: CallKind::Identify, name: None, ..finished.clone() };
        known.properties = item.tree()?.take_fields("data")?;
        known.properties.clear_columns(&finished, "trait_");
        Ok(vec![finished.into(), known.into()])
    }
}

/// When Jebbit signed the delivery: without it two sessions with the same answers would be one.
fn sent(item: &Item<'_>) -> Option<Timestamp> {
    let pairs = item.header(SIGNATURE)?;
    parse_time(pairs.split(',').find_map(|pair| pair.trim().strip_prefix("t="))?)
}

const CALLS: &[CallType] = &[
    CallType::track(
        "Survey Completed",
        "email text, client_user_id text, experience_date time, campaign_name text, opt_in text, outcome text, \
         url_param text, questions json, surveyId text, surveySessionId text, surveyTitle text, trafficSource text, \
         event_number int",
    )
    .native("session.submission")
    .when("somebody finished an experience; mapped attributes are properties too"),
    CallType::new(CallKind::Identify, "", "email text, emailSha256Hash text, client_user_id text, opt_in text")
        .native("session.submission")
        .when("with each finished experience; mapped attributes are traits too"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_answered_if_it_is_signed() {
        let jebbit = Jebbit { shared_secret: Secrets::One(Secret::new("s3cret")) };
        let now = "2023-11-14T22:13:20Z".parse().unwrap();
        let mut delivery = Delivery::fetched(now, r#"{"a":1}"#.into());
        let signature = "t=1700000000,v1=FpilC8dNH/HbhcTgpSl8Ktn9uiRdVzfNt4nkzG4JiUA=";
        delivery.headers.insert(SIGNATURE, signature.parse().unwrap());
        assert!(jebbit.handshake(&delivery).is_none(), "no test");
        delivery.headers.insert("x-jebbit-test", "true".parse().unwrap());
        assert!(jebbit.handshake(&delivery).is_some());
        delivery.body = r#"{"a":2}"#.into();
        assert!(jebbit.handshake(&delivery).is_none(), "one that is not signed");
    }
}
