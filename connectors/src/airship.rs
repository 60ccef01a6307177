//! Airship: the real-time data stream, fetched as NDJSON from an offset on; nobody posts anything.
//!
//! In Airship's dashboard add a *Real-Time Data Streaming* integration (Settings, Real-Time Data Streaming, custom) and give this source
//! the app key and the integration's access token. It begins with what Airship has kept (7 days or 100 GB) and goes on all the time; an
//! interruption longer than that loses what Airship no longer has. `PUSH_BODY` events, which are about nobody, become no call.

mod calls;

use headwater_core::{http::Gather, prelude::*};

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("airship", "Airship", "push", "https://www.airship.com/docs/developer/rest-api/connect/")
        .settings::<Airship>()
        .events::<Airship>(&WEBHOOK)
        .pull::<Airship>();

/// Settings of an Airship source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Airship {
    /// The app key of the project.
    app_key_id: String,
    /// The access token of the project's real-time data streaming integration.
    token: Secret,
    /// Where the project is: `us` or `eu`.
    #[serde(default)]
    site: Site,
}

/// Where a project is.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Site {
    /// North America.
    #[default]
    Us,
    /// Europe.
    Eu,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface { path: "", signature: Signature::Pulled, items: Items::Ndjson }],
    calls: calls::CALLS,
};

/// A quiet stream is left after a while; what comes close together is one delivery.
const GATHER: Gather =
    Gather { silence: Duration::from_secs(30), pause: Duration::from_secs(1), most: 4 << 20 };

#[async_trait]
impl EventPull for Airship {
    fn api(&self, _account: &Account) -> Result<Api> {
        let host = match self.site {
            Site::Us => "https://connect.urbanairship.com",
            Site::Eu => "https://connect.asnapieu.com",
        };
        Ok(Api::new(host, Auth::Bearer(self.token.clone()))
            .header("x-ua-appkey", &self.app_key_id)
            .header("accept", "application/vnd.urbanairship+x-ndjson; version=3;"))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        client.open(events(json!({ "start": "LATEST" }))).await?;
        Ok(Account { id: self.app_key_id.clone(), title: self.app_key_id.clone(), extra: Value::Null })
    }

    /// The cursor is the offset of the last event that was read; Airship keeps what follows it for seven days.
    async fn pull(&self, client: &Client, cursor: &Value) -> Result<Pulled> {
        let from = match cursor.as_str() {
            Some(offset) => json!({ "resume_offset": offset }),
            None => json!({ "start": "EARLIEST" }),
        };
        // Between the lines of events empty ones say that the stream is alive.
        let lines = client.open(events(from)).await?.lines(GATHER).await?;
        if lines.trim_ascii().is_empty() {
            return Ok(Pulled { cursor: cursor.clone(), ..Pulled::default() });
        }
        let offset = |line: &[u8]| Record::parse(&lines.slice_ref(line)).ok()?.text("offset").ok()?;
        let last = lines.split(|byte| *byte == b'\n').rev().find_map(offset);
        let last =
            last.ok_or_else(|| Error::unexpected("the stream brought lines, and none has an offset"))?;
        Ok(Pulled {
            deliveries: vec![("", Delivery::fetched(client.vendor_time(), lines))],
            cursor: last.into(),
            more: true,
        })
    }

    fn pause(&self) -> Duration {
        Duration::from_secs(1)
    }
}

fn events(body: Value) -> Request {
    Request::post("/api/events/", body.to_string())
}

impl EventSource for Airship {
    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let event = &item.record;
        let native: String = event.get("type")?;
        // What was sent, once for all: about nobody, and each one's SEND has its id.
        if native == "PUSH_BODY" {
            return Ok(Vec::new());
        }
        let mut rest = item.tree()?;
        let mut properties = rest.take_fields("device.attributes")?;
        let [device, body, user] =
            [rest.take_fields("device")?, rest.take_fields("body")?, rest.take_fields("user")?];
        let mut rest = rest.close();
        let name =
            WEBHOOK.by_native(&native).map_or_else(|| title_case(&native), |call| call.name.to_owned());
        let channel = device.first_text(&["channel", "ios_channel", "android_channel", "amazon_channel"]);
        let call = Call::track(name)
            .id(rest.take_text("id"))
            .at(event.time("occurred")?)
            .user(device.text("named_user_id").or_else(|| user.text("named_user_id")))
            .anonymous(channel.or_else(|| user.text("contact_id")))
            .context("app.version", properties.text("app_version").as_deref())
            .context("device.model", properties.text("device_model").as_deref())
            .context("device.type", device.text("device_type").as_deref())
            .context("timezone", properties.text("iana_timezone").as_deref());
        rest.rename("offset", "airship_offset");
        rest.take("occurred");
        rest.take("type");
        for (more, prefix) in [(body, "body_"), (device, "device_"), (user, "user_"), (rest, "")] {
            let named = more.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value));
            properties.merge(named.collect(), "event_");
        }
        Ok(vec![call.properties(properties).into()])
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::event::map_delivery;

    use super::*;

    #[test]
    fn what_was_sent_to_all_is_about_nobody_and_unknown_types_keep_their_names() {
        let source = Airship { app_key_id: "k".into(), token: Secret::new("t"), site: Site::Us };
        let lines = concat!(
            r#"{"id":"1","offset":"1","type":"PUSH_BODY","occurred":"2026-10-31T12:00:00Z","body":{"push_id":"p"}}"#,
            "\n\n",
            r#"{"id":"2","offset":"2","type":"IN_APP_BUTTON_TAP","occurred":"2026-10-31T12:00:00Z","body":{},"user":{"contact_id":"c"}}"#,
        );
        let delivery = Delivery::fetched(Timestamp::UNIX_EPOCH, lines.into());
        let mapped = map_delivery("airship", &source, &WEBHOOK.surfaces[0], &delivery);
        assert!(mapped.rejected.is_empty(), "{:?}", mapped.rejected);
        let [(1, Output::Call(call))] = mapped.outputs.as_slice() else { panic!("{:?}", mapped.outputs) };
        assert_eq!(
            (call.name.as_deref(), call.anonymous_id.as_deref()),
            (Some("In App Button Tap"), Some("c"))
        );
    }
}
