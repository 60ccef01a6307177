//! Looker: the rows of a Look or query that is scheduled to a webhook. Each row becomes an identify call whose traits are
//! its columns; with `?event=Trial%20Ended` behind the webhook's address a track call of that name, with `?call=group` a
//! group call.
//!
//! Schedule as CSV, JSON or JSON detail. Ids are found by the LookML tags of Looker's own Segment actions (`user_id`,
//! `segment_anonymous_id`, `email`, `segment_group_id`; JSON detail tells them), by the columns that the settings name, or
//! by usual names (`users.id`, `user_id`, `users.email`). Looker's actions post with the write key.

use headwater_core::{event::split, prelude::*};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "looker",
    "Looker",
    "cohorts",
    "https://cloud.google.com/looker/docs/delivering-looks-explores",
)
.settings::<Looker>()
.events::<Looker>(&WEBHOOK)
.spec(CALLS);

/// Settings of a Looker source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Looker {
    /// The webhook token of the Looker instance (Admin, Webhooks); two while it is being changed, the newer first.
    #[serde(default)]
    webhook_token: Secrets,
    /// The column that holds our own id of the user, as the rows name it.
    #[serde(default)]
    user_id_column: Option<String>,
    /// The column that holds another id of the user.
    #[serde(default)]
    anonymous_id_column: Option<String>,
    /// The column that holds the user's email address.
    #[serde(default)]
    email_column: Option<String>,
    /// The column that holds the account's id, for group calls.
    #[serde(default)]
    group_id_column: Option<String>,
}

static WEBHOOK: Webhook =
    Webhook { surfaces: &[Surface::json("", Signature::header(&["x-looker-webhook-token"]))], calls: CALLS };

impl EventSource for Looker {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.webhook_token.all()
    }

    fn reply(&self, _delivery: &Delivery) -> Reply {
        Reply::json(r#"{"looker":{"success":true}}"#)
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut run = item.fields()?;
        let (rows, table) = rows(item, &mut run)?;
        let table = table.record();
        let event = match item.record.text("form_params.event")? {
            None => item.delivery.query_value("event"),
            event => event,
        };
        let blank = match (event, item.delivery.query_value("call").as_deref()) {
            (Some(event), _) => Call::track(event),
            (None, Some("group")) => Call::new(CallKind::Group),
            (None, _) => Call::identify(),
        };
        // The query's own time; a table that is sent again is another state, though it may hold the same.
        let blank = blank.at(Some(table.time("ran_at")?.unwrap_or(item.delivery.received_at)));
        let ids = Ids {
            user: column(&table, "user_id", &self.user_id_column)?,
            anonymous: column(&table, "segment_anonymous_id", &self.anonymous_id_column)?,
            email: column(&table, "email", &self.email_column)?,
            group: column(&table, "segment_group_id", &self.group_id_column)?,
        };
        let mut calls = rows.iter().map(|row| ids.call(blank.clone(), row)).collect::<Result<Vec<_>>>()?;
        // What is told of the whole table stands with its first row.
        if let Some(first) = calls.first_mut() {
            run.merge(table.fields()?, "table_");
            first.context.set("looker", run.raw());
        }
        Ok(calls.into_iter().map(Output::Call).collect())
    }
}

/// The rows of a run's data, and what else its attachment holds; both are taken out of `run`.
fn rows(item: &Item<'_>, run: &mut Fields) -> Result<(Vec<Record>, Fields)> {
    let mut attachment = run.take_fields("attachment");
    let kind = item.record.text("attachment.mimetype")?.unwrap_or_default();
    let data = attachment.take("data").filter(|data| !data.is_null()).or_else(|| run.take("data"));
    run.merge(attachment, "attachment_");
    let data = data.filter(|data| !data.is_null()).ok_or_else(|| unreadable("holds no data"))?;
    let (text, is_csv) = match data.text() {
        Some(text) => (text, kind.starts_with("text/csv")),
        None => (String::from_utf8_lossy(data.bytes()).into_owned(), false),
    };
    if kind.contains(";base64") || (!is_csv && !text.trim_start().starts_with(['{', '['])) {
        return Err(unreadable(&format!("is {kind:?}")));
    }
    let items = if is_csv { Items::Csv } else { Items::Json("") };
    let found = records(items, &text)?;
    // JSON detail: an object around the rows, that says what the columns are.
    if let ([detail], false) = (&found[..], is_csv)
        && detail.at("data")?.is_some_and(|data| data.bytes().starts_with(b"["))
    {
        let mut table = detail.fields()?;
        table.take("data");
        return Ok((detail.parts("data")?, table));
    }
    Ok((found, Fields::default()))
}

fn records(items: Items, text: &str) -> Result<Vec<Record>> {
    let surface = Surface { items, ..WEBHOOK.surfaces[0] };
    let data = Delivery::fetched(Timestamp::UNIX_EPOCH, text.to_owned().into());
    split(&surface, &data)?.into_iter().map(|piece| piece.record).collect()
}

fn unreadable(what: &str) -> Error {
    Error::unexpected(format!("the attachment {what}: schedule it as CSV, JSON or JSON detail"))
}

/// The columns that say who a row is about.
struct Ids {
    user: Column,
    anonymous: Column,
    email: Column,
    group: Column,
}

/// A column by its name, or by the letters that it usually has.
enum Column {
    Named(String),
    Usual(&'static [&'static str]),
}

/// The column that the settings name, else the one with that tag.
fn column(table: &Record, tag: &'static str, named: &Option<String>) -> Result<Column> {
    if let Some(name) = named {
        return Ok(Column::Named(name.clone()));
    }
    for group in ["dimensions", "measures", "table_calculations", "parameters"] {
        for field in table.parts(&format!("fields.{group}"))? {
            let tags = field.find::<Vec<String>>("tags").ok().flatten().unwrap_or_default();
            if tags.iter().any(|one| one == tag) {
                return Ok(Column::Named(field.get("name")?));
            }
        }
    }
    Ok(Column::Usual(match tag {
        "user_id" => &["userid", "usersid"],
        "email" => &["email", "useremail", "usersemail", "emailaddress"],
        "segment_group_id" => &["groupid", "accountid", "accountsid"],
        _ => &["anonymousid", "segmentanonymousid"],
    }))
}

impl Column {
    fn of(&self, row: &Fields) -> Option<String> {
        let is_it = |name: &str| match self {
            Column::Named(known) => name == known,
            Column::Usual(usual) => {
                let last = name.rsplit('.').next().unwrap_or(name);
                [letters(last), letters(name)].iter().any(|name| usual.iter().any(|known| known == name))
            }
        };
        let mut texts = row.iter().filter(|(name, _)| is_it(name)).filter_map(|(_, value)| value.text());
        texts.find(|text| !text.trim().is_empty())
    }
}

fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Ids {
    fn call(&self, call: Call, row: &Record) -> Result<Call> {
        let mut columns = plain(row)?;
        let email = self.email.of(&columns);
        let anonymous = self.anonymous.of(&columns);
        let mut call = call.person(self.user.of(&columns), email.clone());
        call.anonymous_id = anonymous.or(call.anonymous_id);
        let group = self.group.of(&columns);
        match call.kind {
            CallKind::Group => {
                call.group_id =
                    Some(group.ok_or_else(|| nobody("group", "segment_group_id", "group_id_column"))?);
                call.anonymous_id =
                    call.anonymous_id.or_else(|| call.group_id.clone().filter(|_| call.user_id.is_none()));
            }
            _ if call.user_id.is_none() && call.anonymous_id.is_none() => {
                return Err(nobody("user", "user_id or email", "user_id_column or email_column"));
            }
            _ => {}
        }
        // The Spec has a name for this trait.
        if call.kind == CallKind::Identify && columns.get("email").is_none() {
            columns.set_text("email", email.as_deref());
        }
        columns.clear_columns(&call, "row_");
        call.properties = columns;
        Ok(call)
    }
}

/// A row's columns: in JSON detail a cell is an object, whose `value` is the column's; what else it holds stands beside.
fn plain(row: &Record) -> Result<Fields> {
    let mut columns = Fields::default();
    for (name, cell) in row.fields()?.iter() {
        let inner = match cell.clone().record() {
            Some(record) => Some(record.fields()?).filter(|inner| inner.get("value").is_some()),
            None => None,
        };
        match inner {
            None => columns.set(name, cell.clone()),
            Some(inner) => {
                for (part, value) in inner.iter() {
                    match part {
                        "value" => columns.set(name, value.clone()),
                        part => columns.set(format!("{name}_{part}"), value.clone()),
                    }
                }
            }
        }
    }
    Ok(columns)
}

fn nobody(what: &str, tag: &str, setting: &str) -> Error {
    Error::unexpected(format!("no column says which {what} a row is about: tag one {tag}, or set {setting}"))
}

const CALLS: &[CallType] = &[
    CallType::new(CallKind::Identify, "", "")
        .native("query")
        .when("for each row; every visible column is a trait"),
    CallType::track("", "").when("for each row, if the address or the action's form names an event"),
    CallType::new(CallKind::Group, "", "")
        .when("for each row, if the address says so or the action is Segment Group"),
];

#[cfg(test)]
mod tests {
    use headwater_core::event::map_delivery;

    use super::*;

    fn looker() -> Looker {
        Looker {
            webhook_token: Secrets::None,
            user_id_column: None,
            anonymous_id_column: None,
            email_column: None,
            group_id_column: None,
        }
    }

    fn map(looker: &Looker, kind: &str, data: &str) -> Result<Vec<(Option<String>, Option<String>)>> {
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let body =
            json!({"type": "query", "attachment": {"mimetype": kind, "extension": "csv", "data": data}});
        let delivery = Delivery::fetched(now, body.to_string().into());
        let mapped = map_delivery("looker", looker, &WEBHOOK.surfaces[0], &delivery);
        if let Some(rejected) = mapped.rejected.into_iter().next() {
            return Err(rejected.error);
        }
        let people = mapped.outputs.into_iter().filter_map(|(_, output)| match output {
            Output::Call(call) => Some((call.user_id, call.anonymous_id)),
            Output::Change(_) => None,
        });
        Ok(people.collect())
    }

    #[test]
    fn rows_may_be_csv_and_settings_name_columns() {
        const ROWS: &str = "Users ID,Users Email,Shop Key\n12,a@example.com,\"k, 1\"\n,b@example.com,k2\n";
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            map(&looker(), "text/csv", ROWS).unwrap(),
            [(some("12"), None), (None, some("b@example.com"))]
        );
        let named = Looker { user_id_column: some("Shop Key"), ..looker() };
        assert_eq!(map(&named, "text/csv", ROWS).unwrap(), [(some("k, 1"), None), (some("k2"), None)]);
    }

    #[test]
    fn what_cannot_be_read_says_what_to_choose() {
        let nobody = map(&looker(), "text/csv", "City\nBern\n").unwrap_err();
        assert!(nobody.to_string().contains("set user_id_column"), "{nobody}");
        for (kind, data) in
            [("application/pdf;base64", "JVBERi0="), ("text/plain", "12 a@example.com"), ("", "")]
        {
            let error = map(&looker(), kind, data).unwrap_err();
            assert!(error.to_string().contains("schedule it as CSV"), "{error}");
        }
    }
}
