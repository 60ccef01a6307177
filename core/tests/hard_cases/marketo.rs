//! Marketo's leads: a job makes a file, the file is read in ranges, and deletions are told by a feed of their own.

use headwater_core::{auth::OAuth, format, http::Host, prelude::*};
use serde::Serialize;

pub const CONNECTOR: Connector = Connector::new(
    "marketo",
    "Marketo",
    "marketing",
    "https://experienceleague.adobe.com/en/docs/marketo-developer/",
)
.settings::<Marketo>()
.objects::<Marketo>(COLLECTIONS, FEEDS);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Marketo {
    /// The Munchkin id of the instance.
    munchkin_id: String,
    client_id: String,
    client_secret: Secret,
    /// Lead fields beside the standard ones, by their REST names.
    #[serde(default)]
    lead_fields: Vec<String>,
}

const COLLECTIONS: &[Collection] = &[Collection {
    name: "leads",
    fields: "id int, email text, first_name text = firstName, last_name text = lastName, created_at time = createdAt, \
             updated_at time = updatedAt, deleted_at time = deletedAt",
    // Not sent as it stands: `page` creates the job, and asks the paths under it.
    endpoint: Endpoint::post("/bulk/v1/leads/export/create.json", ""),
    format: Format::Csv,
    pages: Pages::Custom,
    since: Some(Since::Time {
        field: "updatedAt",
        from: Put::Body("filter.updatedAt.startAt"),
        until: Some(Put::Body("filter.updatedAt.endAt")),
        format: TimeFormat::Rfc3339,
        overlap: Duration::from_secs(3600),
        lag: Duration::from_secs(300),
        first: None,
    }),
    windows: Some(Windows {
        span: Duration::from_secs(31 * 86_400),
        epoch: "2006-01-01T00:00:00Z",
        side_by_side: 2,
    }),
    deletes: Deletes::Feed("deleted_leads"),
    version: Some("updatedAt"),
    limit: Some("exports"),
    ..Collection::DEFAULT
}];

const FEEDS: &[Feed] = &[Feed {
    read: Collection {
        name: "deleted_leads",
        endpoint: Endpoint::get("/rest/v1/activities/deletedleads.json"),
        records: "result",
        // The paging token lives for a day, so it is no position; the position is a time, and a token is asked for it.
        pages: Pages::Custom,
        since: Some(Since::Time {
            field: "activityDate",
            from: Put::Query("sinceDatetime"),
            until: None,
            format: TimeFormat::Rfc3339,
            overlap: Duration::from_secs(3600),
            lag: Duration::from_secs(300),
            first: None,
        }),
        deletes: Deletes::Never,
        ..Collection::DEFAULT
    },
    horizon: Some(Duration::from_secs(14 * 86_400)),
    fills: &["leads"],
}];

/// Where the reading of one window has come to.
#[derive(Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
enum Step {
    Enqueue { export: String },
    Poll { export: String },
    Rows { export: String, offset: u64, size: u64, head: String },
}

const PIECE: u64 = 4 << 20;

#[async_trait]
impl ObjectSource for Marketo {
    fn api(&self, _account: &Account) -> Result<Api> {
        let host = format!("https://{}.mktorest.com", self.munchkin_id);
        let midnight = Per::Day { hour: 0, zone: "America/Chicago" };
        let mut api = Api::new(
            host.clone(),
            Auth::OAuth(OAuth {
                token_url: format!("{host}/identity/oauth/token"),
                client_id: self.client_id.clone(),
                client_secret: Some(self.client_secret.clone()),
                client_auth: ClientAuth::Body,
                grant: Grant::ClientCredentials,
                scopes: Vec::new(),
                extra: Vec::new(),
                carry: Carry::Bearer,
            }),
        )
        .judge(judge);
        let host: &mut Host = &mut api.hosts[0];
        host.limits = vec![
            Limit::requests(100, Duration::from_secs(20)),
            Limit::concurrent(10),
            Limit { name: "", of: Of::Requests, amount: 50_000, per: midnight },
            Limit { name: "exports", of: Of::Bytes, amount: 500 << 20, per: midnight },
        ];
        Ok(api)
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        client.send(Request::get("/rest/v1/leads/describe2.json")).await?;
        Ok(Account { id: self.munchkin_id.clone(), title: self.munchkin_id.clone(), extra: Value::Null })
    }

    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        match pull.collection.name {
            "deleted_leads" => self.deleted(pull).await,
            _ => self.leads(pull).await,
        }
    }
}

impl Marketo {
    async fn leads(&self, pull: Pull<'_>) -> Result<Page> {
        let base = "/bulk/v1/leads/export";
        let at = |step: Step, wait: u64| -> Result<Page> {
            Ok(Page {
                cursor: serde_json::to_value(step)?,
                more: true,
                wait: (wait > 0).then(|| Duration::from_secs(wait)),
                ..Page::default()
            })
        };
        let Some(step) = Option::<Step>::deserialize(&pull.read.page)? else {
            let bound = |time: Option<Timestamp>| time.map(|time| TimeFormat::Rfc3339.write(time));
            let mut fields = vec!["id", "email", "firstName", "lastName", "createdAt", "updatedAt"];
            fields.extend(self.lead_fields.iter().map(String::as_str));
            let filter =
                json!({"updatedAt": {"startAt": bound(pull.read.from), "endAt": bound(pull.read.to)}});
            let body = json!({"format": "CSV", "fields": fields, "filter": filter}).to_string();
            let answer = pull.client.send(Request::post(format!("{base}/create.json"), body)).await?;
            let export = Record::parse(&answer.body)?.get("result.0.exportId")?;
            return at(Step::Enqueue { export }, 0);
        };
        match step {
            Step::Enqueue { export } => {
                let path = format!("{base}/{export}/enqueue.json");
                match pull.client.send(Request::post(path, "").limited("exports")).await {
                    Ok(_) => at(Step::Poll { export }, 60),
                    // The two places are taken: ask again with the same cursor.
                    Err(error) if error.kind() == Kind::RateLimited && error.until().is_none() => {
                        at(Step::Enqueue { export }, 60)
                    }
                    Err(error) => Err(error),
                }
            }
            Step::Poll { export } => {
                let answer = pull.client.send(Request::get(format!("{base}/{export}/status.json"))).await?;
                let status = Record::parse(&answer.body)?;
                match status.get::<String>("result.0.status")?.as_str() {
                    "Completed" => {
                        let size = status.find("result.0.fileSize")?.unwrap_or(0);
                        at(Step::Rows { export, offset: 0, size, head: String::new() }, 0)
                    }
                    "Created" | "Queued" | "Processing" => at(Step::Poll { export }, 60),
                    // The job or its file is gone: this read begins again with a new one.
                    other => {
                        Err(Error::new(Kind::Expired, format!("the export is {other}; it is made anew")))
                    }
                }
            }
            Step::Rows { export, offset, size, head } => {
                let last = (offset + PIECE).min(size);
                let request = Request::get(format!("{base}/{export}/file.json"))
                    .header("range", format!("bytes={offset}-{}", last.saturating_sub(1)))
                    .limited("exports");
                let answer = pull.client.send(request).await?;
                // Wanted of format: rows of a piece, which knows a line's end inside quotes from a row's end.
                let used =
                    answer.body.iter().rposition(|b| *b == b'\n').map_or(answer.body.len(), |end| end + 1);
                let rows = answer.body.slice(..used);
                let first = rows.split(|b| *b == b'\n').next().unwrap_or_default();
                let (head, rows) = match offset {
                    0 => (String::from_utf8_lossy(first).into_owned(), rows.clone()),
                    _ => (head.clone(), [head.as_bytes(), b"\n", &rows].concat().into()),
                };
                let rows = format::records(&Format::Csv, &rows, "")?;
                let next = Step::Rows { export, offset: offset + used as u64, size, head };
                Ok(Page {
                    changes: rows.into_iter().map(|lead| Change::upsert("leads", lead)).collect(),
                    more: offset + (used as u64) < size,
                    cursor: serde_json::to_value(next)?,
                    ..Page::default()
                })
            }
        }
    }

    async fn deleted(&self, pull: Pull<'_>) -> Result<Page> {
        let token = match pull.read.page.as_str() {
            Some(token) => token.to_owned(),
            None => {
                let from = pull.read.from.unwrap_or(Timestamp::UNIX_EPOCH);
                let request = Request::get("/rest/v1/activities/pagingtoken.json")
                    .query("sinceDatetime", TimeFormat::Rfc3339.write(from));
                Record::parse(&pull.client.send(request).await?.body)?.get("nextPageToken")?
            }
        };
        let request = Request::get(pull.collection.endpoint.path)
            .query("nextPageToken", token)
            .query("batchSize", "300");
        let body = Record::parse(&pull.client.send(request).await?.body)?;
        let mut changes = Vec::new();
        for item in body.parts("result")? {
            let id: u64 = item.get("leadId")?;
            let when: String = item.get("activityDate")?;
            let version = item.time("activityDate")?.map(Version::at);
            // deleted_at is a column of its own, and Op::Delete carries only the key.
            let row = Record::new(&json!({"id": id, "deletedAt": when}))?;
            changes.push(Change::upsert("leads", row.clone()).op(Op::Patch).version(version));
            changes.push(Change::upsert("leads", row).op(Op::Delete).version(version));
        }
        let cursor = body.find("nextPageToken")?.unwrap_or_default();
        Ok(Page { changes, cursor, more: body.get("moreResult")?, ..Page::default() })
    }
}

/// Failures come inside 200s.
fn judge(answer: &Answer) -> Option<Error> {
    if !answer.header("content-type").is_some_and(|kind| kind.contains("json")) {
        return None;
    }
    let body = Record::parse(&answer.body).ok()?;
    let code = body.text("errors.0.code").ok()??;
    let message = format!("{code}: {}", body.text("errors.0.message").ok()?.unwrap_or_default());
    Some(match code.as_str() {
        "601" | "602" => Error::auth(message),
        "606" | "615" => Error::new(Kind::RateLimited, message),
        "607" => Error::new(Kind::RateLimited, message).spends(""),
        "1029" if message.contains("quota") => Error::new(Kind::RateLimited, message).spends("exports"),
        "1029" => Error::new(Kind::RateLimited, message),
        "603" | "1035" => Error::new(Kind::Forbidden, message),
        "604" | "608" | "713" => Error::transient(message),
        _ => Error::unexpected(message),
    })
}
