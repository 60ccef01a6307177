//! Zendesk's ticket events: one export by time that fills three tables.

use headwater_core::prelude::*;

pub const CONNECTOR: Connector = Connector::new(
    "zendesk",
    "Zendesk",
    "support",
    "https://developer.zendesk.com/api-reference/ticketing/introduction/",
)
.settings::<Zendesk>()
.objects::<Zendesk>(COLLECTIONS, FEEDS);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Zendesk {
    /// What stands before `.zendesk.com`.
    subdomain: String,
    email: String,
    token: Secret,
}

const FROM_EVENTS: Collection =
    Collection { from: From::Feed("ticket_event_export"), deletes: Deletes::Never, ..Collection::DEFAULT };

const COLLECTIONS: &[Collection] = &[
    Collection {
        name: "ticket_events",
        fields: "id int, ticket_event_id int = ^id, ticket_id int = ^ticket_id, timestamp time = ^timestamp, \
                 updater_id int = ^updater_id, ticket_event_via text = ^via, via text, \
                 context_client text = ^system.client, context_location text = ^system.location, \
                 context_latitude real = ^system.latitude, context_longitude real = ^system.longitude",
        ..FROM_EVENTS
    },
    Collection {
        name: "ticket_comments",
        fields: "id int, ticket_event_id int = ^id, ticket_id int = ^ticket_id, type text, body text, public bool, \
                 author_id int, via json, created_at time",
        ..FROM_EVENTS
    },
    Collection {
        name: "attachments",
        fields: "id int, file_name text, content_url text, content_type text, size int, comment_id int = ^id",
        from: From::Nested { of: &[("ticket_comments", "attachments")], overflow: "" },
        deletes: Deletes::Never,
        ..Collection::DEFAULT
    },
];

const FEEDS: &[Feed] = &[Feed {
    read: Collection {
        name: "ticket_event_export",
        endpoint: Endpoint::get("/api/v2/incremental/ticket_events.json")
            .query(&[("include", "comment_events")]),
        records: "ticket_events",
        pages: Pages::Token {
            at: At::Body("end_time"),
            into: Put::Query("start_time"),
            more: More::Unless("end_of_stream"),
        },
        since: Some(Since::Cursor {
            from: Put::Query("start_time"),
            format: TimeFormat::UnixSeconds,
            first: "0",
            lag: Duration::from_secs(60),
        }),
        limit: Some("exports"),
        deletes: Deletes::Never,
        ..Collection::DEFAULT
    },
    horizon: None,
    fills: &["ticket_events", "ticket_comments"],
}];

#[async_trait]
impl ObjectSource for Zendesk {
    fn api(&self, _account: &Account) -> Result<Api> {
        let url = format!("https://{}.zendesk.com", self.subdomain);
        Ok(Api::new(url, Auth::Basic(format!("{}/token", self.email), self.token.clone()))
            .limit(Limit::requests(200, Duration::from_secs(60)))
            .limit(Limit::requests(10, Duration::from_secs(60)).named("exports")))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        client.send(Request::get("/api/v2/users/me.json")).await?;
        Ok(Account { id: self.subdomain.clone(), title: self.subdomain.clone(), extra: Value::Null })
    }

    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        let mut page = rest::page(pull).await?;
        if pull.collection.name == "ticket_event_export" {
            let mut changes = Vec::new();
            for event in std::mem::take(&mut page.changes) {
                for (child, index) in event.record.parts("child_events")?.into_iter().zip(0..) {
                    if matches!(child.text("event_type")?.as_deref(), Some("Comment" | "VoiceComment")) {
                        changes.push(
                            Change::upsert("ticket_comments", child.clone()).parent(&event.record, index),
                        );
                    }
                    changes.push(Change::upsert("ticket_events", child).parent(&event.record, index));
                }
            }
            page.changes = changes;
        }
        Ok(page)
    }
}
