//! Rows of files: which call each is, and how a part of a file is a delivery.

use headwater_core::prelude::*;

/// The surface that maps rows.
pub const SURFACE: &str = "rows";

/// A delivery is not made larger than this, in bytes, and has no more rows.
const LARGEST: usize = 4 << 20;
const MOST: usize = 10_000;

const fn rows(kind: CallKind, prefix: &'static str, properties: &'static str) -> CallType {
    CallType::new(kind, "", properties).native(prefix)
}

pub const CALLS: &[CallType] = &[
    rows(
        CallKind::Identify,
        "identify_",
        "userId, anonymousId, timestamp, traits json, context.ip, context.device.id, integrations json",
    ),
    rows(
        CallKind::Track,
        "track_",
        "userId, anonymousId, event, timestamp, properties json, context.ip, context.device.id, integrations json",
    ),
    rows(
        CallKind::Page,
        "page_",
        "userId, anonymousId, name, timestamp, properties json, context.ip, context.device.id, integrations json",
    ),
    rows(
        CallKind::Screen,
        "screen_",
        "userId, anonymousId, name, timestamp, properties json, context.ip, context.device.id, integrations json",
    ),
    rows(CallKind::Group, "group_", "userId, groupId, traits json"),
    rows(CallKind::Alias, "alias_", "userId, previousId"),
];

/// What a file is written in, by its name; none if it holds no rows.
pub fn format(key: &str) -> Option<Format> {
    let name = key.to_ascii_lowercase();
    let (name, is_packed) = match name.strip_suffix(".gz") {
        Some(name) => (name, true),
        None => (name.as_str(), false),
    };
    Some(match (name.rsplit_once('.')?.1, is_packed) {
        ("csv", false) => Format::Csv,
        ("csv", true) => Format::Gzip(&Format::Csv),
        ("json", false) => Format::Json,
        ("json", true) => Format::Gzip(&Format::Json),
        ("ndjson" | "jsonl", false) => Format::Ndjson,
        ("ndjson" | "jsonl", true) => Format::Gzip(&Format::Ndjson),
        _ => return None,
    })
}

/// The file that rows are of.
pub struct Of<'a> {
    pub bucket: &'a str,
    pub key: &'a str,
    pub tag: &'a str,
    pub written: i64,
}

impl Of<'_> {
    /// Rows as deliveries; `before` rows stand before them in the file. An empty cell of a CSV is no value.
    pub fn deliveries(&self, records: &[Record], before: u64) -> Result<Vec<(&'static str, Delivery)>> {
        let is_csv = matches!(format(self.key), Some(Format::Csv | Format::Gzip(Format::Csv)));
        let (mut all, mut lines, mut count, mut first) = (Vec::new(), String::new(), 0, before);
        for (record, row) in records.iter().zip(before..) {
            let line = match is_csv {
                true => {
                    let mut cells = record.fields()?;
                    cells.retain(|_, cell| cell.bytes().as_ref() != b"\"\"");
                    cells.record().line()
                }
                false => record.line(),
            };
            if count == MOST || (count > 0 && lines.len() + line.len() > LARGEST) {
                all.push((SURFACE, self.delivery(std::mem::take(&mut lines), first)));
                (count, first) = (0, row);
            }
            lines.push_str(&line);
            lines.push('\n');
            count += 1;
        }
        if count > 0 {
            all.push((SURFACE, self.delivery(lines, first)));
        }
        Ok(all)
    }

    /// A file that cannot be read any further, as a row that says why.
    pub fn unreadable(&self, error: &Error, before: u64) -> (&'static str, Delivery) {
        let row = json!({ UNREADABLE: error.to_string() });
        (SURFACE, self.delivery(row.to_string(), before))
    }

    fn delivery(&self, lines: String, first: u64) -> Delivery {
        let (first, written) = (first.to_string(), self.written.to_string());
        let pairs = [
            ("bucket", self.bucket),
            ("key", self.key),
            ("tag", self.tag.trim_matches('"')),
            ("written", &written),
            ("row", &first),
        ];
        let query: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", headwater_core::auth::aws::encode(value)))
            .collect();
        Delivery { query: query.join("&"), ..Delivery::fetched(Timestamp::UNIX_EPOCH, lines.into()) }
    }
}

/// The member of a row that stands for a file which cannot be read.
const UNREADABLE: &str = "headwater: unreadable";

/// The call that a row is: the one that its file's name says, else its own `type`.
pub fn map(item: &Item<'_>) -> Result<Vec<Output>> {
    let about = |name: &str| item.delivery.query_value(name).unwrap_or_default();
    let key = about("key");
    let mut cells = item.fields()?;
    if let Some(why) = cells.take_text(UNREADABLE) {
        return Err(Error::unexpected(format!("{key} cannot be read on: {why}")));
    }
    let file = key.rsplit('/').next().unwrap_or_default();
    if file.starts_with("object_") {
        return Err(Error::unexpected("object_ files are rows of tables, and this connector has none"));
    }
    let kind = CALLS.iter().find(|call| file.starts_with(call.native)).map(|call| call.kind);
    let mut nested = Fields::default();
    for (name, value) in cells.iter() {
        let value = match name.rsplit('.').next() {
            Some("createdAt" | "timestamp") => date(value),
            _ => value.clone(),
        };
        match name.contains('.') {
            true => nested.set_at(name, value),
            false => nested.set(name, value),
        }
    }
    let own = nested.take_text("messageId");
    if kind.is_none() && nested.get("type").is_none() {
        let known: Vec<&str> = CALLS.iter().map(|call| call.native).collect();
        let known = known.join(", ");
        return Err(Error::unexpected(format!(
            "its file's name says no call, and it has no type: the name has to begin with one of {known}"
        )));
    }
    let mut call = Call::parse(&nested.record(), kind)?;
    let row = about("row").parse::<u64>().unwrap_or(0) + u64::from(item.index);
    call.message_id = own.unwrap_or_else(|| format!("{}/{key}@{}:{row}", about("bucket"), about("tag")));
    if call.timestamp.is_none() && call.original_timestamp.is_none() {
        call = call.at(parse_time(&about("written")));
    }
    Ok(vec![call.into()])
}

/// A time as RFC 3339 has it, whichever way it was written; anything else as it is.
fn date(value: &Raw) -> Raw {
    let time = value.text().and_then(|text| parse_time(&text));
    time.map_or_else(|| value.clone(), |time| Raw::string(&time.to_string()))
}

#[cfg(test)]
mod tests {
    use headwater_core::event::map_delivery;

    use super::*;

    const FILE: Of<'_> = Of { bucket: "b", key: "in/track_a &.csv", tag: "\"t\"", written: 1_717_236_000 };

    fn mapped(key: &str, row: Value) -> Result<Call, String> {
        let of = Of { key, ..FILE };
        let (_, delivery) = of.deliveries(&[Record::new(&row).unwrap()], 6).unwrap().remove(0);
        let settings = json!({ "bucket": "b", "region": "eu-central-1", "access_key_id": "k", "secret_access_key": "s" });
        let source: super::super::AmazonS3 = serde_json::from_value(settings).unwrap();
        let mut mapped = map_delivery("amazon-s3", &source, &super::super::WEBHOOK.surfaces[1], &delivery);
        match (mapped.outputs.pop(), mapped.rejected.pop()) {
            (Some((_, Output::Call(call))), None) => Ok(call),
            (_, rejected) => Err(rejected.map(|rejected| rejected.error.to_string()).unwrap_or_default()),
        }
    }

    #[test]
    fn a_row_knows_its_file_its_place_and_its_time() {
        let call = mapped("in/track_a &.csv", json!({ "userId": "u", "event": "E", "properties.a.b": "1" }))
            .unwrap();
        assert_eq!(call.message_id, "amazon-s3:b/in/track_a &.csv@t:6");
        assert_eq!(call.timestamp.or(call.original_timestamp).unwrap().as_second(), 1_717_236_000);
        assert_eq!(call.properties.record().text("a.b").unwrap().as_deref(), Some("1"));
        let own =
            mapped("calls.json", json!({ "type": "track", "userId": "u", "event": "E", "messageId": "m" }));
        assert_eq!(own.unwrap().message_id, "amazon-s3:m");
        for (key, row, why) in [
            ("object_users_1.csv", json!({ "id": "1" }), "object_ files are rows of tables"),
            ("other.csv", json!({ "userId": "u" }), "its file's name says no call"),
            ("calls.json", json!({ "type": "trackk" }), "is not a call"),
        ] {
            let error = mapped(key, row).unwrap_err();
            assert!(error.contains(why), "{key}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let (_, delivery) = FILE.unreadable(&Error::unexpected("row 7 has 3 cells instead of 2"), 6);
        let row = Record::parse(&delivery.body).unwrap();
        assert_eq!(row.fields().unwrap().take_text(UNREADABLE).unwrap(), "row 7 has 3 cells instead of 2");
        let error = mapped("in/track_a &.csv", json!({ UNREADABLE: "why" })).unwrap_err();
        assert_eq!(error, "in/track_a &.csv cannot be read on: why");
    }

    #[test]
    fn large_parts_become_several_deliveries_and_no_row_is_lost() {
        let row = Record::new(&json!({ "userId": "u", "text": "x".repeat(1000), "empty": "" })).unwrap();
        let rows = vec![row; 2 * MOST + 1];
        let all = FILE.deliveries(&rows, 100).unwrap();
        let lines = |delivery: &Delivery| {
            delivery.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()
        };
        let mut next = 100;
        for (surface, delivery) in &all {
            assert_eq!(*surface, SURFACE);
            assert!(delivery.body.len() <= LARGEST + 1100, "{}", delivery.body.len());
            assert_eq!(delivery.query_value("row"), Some(next.to_string()));
            assert!(!delivery.body.starts_with(b"{\"userId\":\"u\",\"text\":\"x\",\"empty"));
            next += lines(delivery);
        }
        assert_eq!(next, 100 + rows.len());
        assert!(FILE.deliveries(&[], 0).unwrap().is_empty());
    }

    #[test]
    fn a_name_says_what_a_file_is_written_in() {
        for (key, expected) in [
            ("a/track_x.csv", Some(Format::Csv)),
            ("A.CSV.GZ", Some(Format::Gzip(&Format::Csv))),
            ("a.jsonl", Some(Format::Ndjson)),
            ("a.ndjson.gz", Some(Format::Gzip(&Format::Ndjson))),
            ("a.json", Some(Format::Json)),
            ("a.b/c", None),
            ("track_x", None),
            ("a.parquet", None),
        ] {
            assert_eq!(format(key), expected, "{key}");
        }
    }
}
