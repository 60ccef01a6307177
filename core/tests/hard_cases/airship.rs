//! Airship: events that we fetch, from a stream that never ends, by an offset.

use bytes::BytesMut;
use headwater_core::{
    event::{EventPull, Pulled},
    prelude::*,
};

pub const CONNECTOR: Connector =
    Connector::new("airship", "Airship", "push", "https://docs.airship.com/api/connect/")
        .settings::<Airship>()
        .events::<Airship>(&WEBHOOK)
        .pull::<Airship>();

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Airship {
    app_key: String,
    /// The token of the real-time data streaming integration.
    token: Secret,
}

const WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface { path: "", signature: Signature::Pulled, items: Items::Ndjson }],
    calls: &[
        CallType::track("Open", "airship_offset, body_session_id").native("OPEN"),
        CallType::track("Message Center Read", "airship_offset").native("RICH_READ"),
    ],
};

const QUIET: Duration = Duration::from_secs(10);
const ENOUGH: usize = 4 << 20;

#[async_trait]
impl EventPull for Airship {
    fn api(&self, _account: &Account) -> Result<Api> {
        Ok(Api::new("https://connect.urbanairship.com", Auth::Bearer(self.token.clone()))
            .header("x-ua-appkey", &self.app_key)
            .header("accept", "application/vnd.urbanairship+x-ndjson; version=3;"))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        client.open(Request::post("/api/events/", r#"{"start":"LATEST"}"#)).await?;
        Ok(Account { id: self.app_key.clone(), title: self.app_key.clone(), extra: Value::Null })
    }

    async fn pull(&self, client: &Client, cursor: &Value) -> Result<Pulled> {
        let body = match cursor.as_str() {
            Some(offset) => json!({"resume_offset": offset}),
            None => json!({"start": "EARLIEST"}),
        };
        let mut stream = client.open(Request::post("/api/events/", body.to_string())).await?;
        let mut lines = BytesMut::new();
        // What comes within a while is a delivery; the stream itself never ends.
        while let Ok(chunk) = tokio::time::timeout(QUIET, stream.next_chunk()).await {
            let Some(chunk) = chunk? else { break };
            lines.extend_from_slice(&chunk);
            if lines.len() > ENOUGH {
                break;
            }
        }
        let end = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = lines.freeze().slice(..end);
        let last = lines.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
        let Some(last) = last else { return Ok(Pulled { cursor: cursor.clone(), ..Pulled::default() }) };
        let offset: String = Record::parse(&lines.slice_ref(last))?.get("offset")?;
        Ok(Pulled {
            deliveries: vec![("", Delivery::fetched(Timestamp::now(), lines))],
            cursor: offset.into(),
            more: true,
        })
    }
}

impl EventSource for Airship {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        Vec::new()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let native: String = item.record.get("type")?;
        let Some(call) = WEBHOOK.by_native(&native) else { return Ok(Vec::new()) };
        let mut properties = item.fields()?;
        properties.rename("offset", "airship_offset");
        Ok(vec![
            Call::track(call.name)
                .id(item.record.text("id")?)
                .at(item.record.time("occurred")?)
                .user(item.record.text("device.named_user_id")?)
                .anonymous(item.record.first_text(&[
                    "device.channel",
                    "device.ios_channel",
                    "device.android_channel",
                ])?)
                .properties(properties)
                .into(),
        ])
    }
}
