//! Amazon S3: rows of CSV, JSON and NDJSON files become calls, as Segment's Lambda for S3 makes them of CSV files. New objects are found by
//! listing the bucket; a notification only says that now is the time.
//!
//! A CSV file says by its name what its rows are (`track_orders.csv`, `identify_2024.csv`), whose columns may have dots in their names
//! (`properties.revenue`); rows of `.json` and `.ndjson` files are that, or whole calls with a `type`. All may be packed (`.gz`). Give an
//! access key that may list the bucket and get its objects. The bucket is looked at every minute; to have a file read at once, let the
//! bucket notify the webhook's address, through an Amazon SNS topic of the same region (its subscription is confirmed by itself) or
//! anything else that posts: what it posts does not matter. A list is read whole each time: use `prefix` where a bucket holds millions of
//! objects, and narrow it as they grow old.
//!
//! Objects are read in passes. One pass goes through the keys in their order and reads what was written since the pass before, up to a
//! moment that is fixed when it begins: so its place is a key, and a file's is a place in it. A file that was uploaded in parts appears
//! with the time at which that began: a pass looks back, and knows what it has read by key and tag.

mod rows;

use std::collections::BTreeMap;

use headwater_core::{
    auth::aws::encode,
    format,
    prelude::*,
    rest::{Place, piece},
};
use serde::Serialize;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "amazon-s3",
    "Amazon S3",
    "files",
    "https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html",
)
.settings::<AmazonS3>()
.events::<AmazonS3>(&WEBHOOK)
.pull::<AmazonS3>();

/// Settings of an Amazon S3 source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AmazonS3 {
    /// The bucket.
    bucket: String,
    /// Its region, like `eu-central-1`.
    region: String,
    /// The id of an access key whose user may list the bucket and get its objects (`s3:ListBucket`, `s3:GetObject`).
    access_key_id: String,
    /// The secret access key.
    secret_access_key: Secret,
    /// Only objects whose key begins with this, like `events/`.
    #[serde(default)]
    prefix: String,
    /// The address of another store that speaks S3, like `https://minio.example.com`.
    endpoint_url: Option<String>,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[
        Surface {
            path: "",
            signature: Signature::None {
                why: "a notification is not believed: it only lets the bucket be listed, with our own key",
            },
            items: Items::Json(""),
        },
        Surface { path: rows::SURFACE, signature: Signature::Pulled, items: Items::Ndjson },
    ],
    calls: rows::CALLS,
};

/// How far a pass looks back behind the one before: longer than an upload takes.
const LOOK_BACK: i64 = 3600;
/// What was written in the last moment waits for the next pass: its time is of whole seconds.
const LAG: i64 = 2;
/// Files that are remembered within that time; of more the oldest may be read again, and their rows are duplicates.
const REMEMBERED: usize = 2000;
/// Pages of a list that are looked through in one pull.
const PAGES: usize = 10;

/// Where the reading of a bucket goes on. Times are seconds since 1970.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Cursor {
    /// What was written up to here has been read.
    since: i64,
    /// Up to where this pass reads; 0 between two passes.
    until: i64,
    /// The last key that this pass has looked at.
    after: String,
    /// The file that is being read.
    file: Option<File>,
    /// Files that have been read and were written not long before `since`, by a mark, with their time.
    read: BTreeMap<String, i64>,
}

/// A file that is being read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct File {
    key: String,
    tag: String,
    written: i64,
    /// How far: bytes, unpacked; a digest of the row before; rows.
    offset: u64,
    last: u32,
    rows: u64,
}

#[async_trait]
impl EventPull for AmazonS3 {
    fn api(&self, _account: &Account) -> Result<Api> {
        let region = &self.region;
        if !region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Err(Error::config("settings.region is none: write it like eu-central-1"));
        }
        let url = self.endpoint_url.clone().unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let keys = Aws {
            key_id: self.access_key_id.clone(),
            secret: self.secret_access_key.clone(),
            session_token: None,
            region: region.clone(),
            service: "s3",
        };
        Ok(Api::new(url, Auth::Aws(keys))
            .host("sns", format!("https://sns.{region}.amazonaws.com"), Auth::None)
            .judge(fault))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        client.send(self.list("").query("max-keys", "1")).await?;
        Ok(Account { id: self.bucket.clone(), title: self.bucket.clone(), extra: Value::Null })
    }

    async fn pull(&self, client: &Client, cursor: &Value) -> Result<Pulled> {
        let mut at = match cursor {
            Value::Null => Cursor::default(),
            cursor => Cursor::deserialize(cursor)?,
        };
        if let Some(file) = at.file.take() {
            return self.read(client, at, file).await;
        }
        let begins = at.until == 0;
        if begins {
            at.until = client.vendor_time().as_second() - LAG;
        }
        for _ in 0..PAGES {
            let answer = client.send(self.list(&at.after)).await?;
            let document = Record::parse(&format::document(&Format::Xml, &answer.body)?)?;
            for object in document.parts("ListBucketResult.Contents")? {
                at.after = object.get("Key")?;
                let written = object.time("LastModified")?.map_or(0, |time| time.as_second());
                let tag: String = object.get("ETag")?;
                let is_new = written > at.since - LOOK_BACK
                    && written <= at.until
                    && !at.read.contains_key(&mark(&at.after, &tag));
                if is_new && object.text("Size")?.as_deref() != Some("0") && rows::format(&at.after).is_some()
                {
                    let file = File { key: at.after.clone(), tag, written, ..File::default() };
                    return self.read(client, at, file).await;
                }
            }
            if document.text("ListBucketResult.IsTruncated")?.as_deref() != Some("true") {
                return Ok(match begins {
                    // Nothing new: the next pass may as well begin where this one did.
                    true => Pulled { cursor: cursor.clone(), ..Pulled::default() },
                    false => Pulled { cursor: at.next_pass()?, ..Pulled::default() },
                });
            }
        }
        Ok(Pulled { cursor: serde_json::to_value(at)?, more: true, ..Pulled::default() })
    }
}

impl AmazonS3 {
    fn list(&self, after: &str) -> Request {
        let list = Request::get(format!("/{}", encode(&self.bucket))).query("list-type", "2");
        let list = if self.prefix.is_empty() { list } else { list.query("prefix", &self.prefix) };
        if after.is_empty() { list } else { list.query("start-after", after) }
    }

    /// The next rows of a file. One that has changed or gone since it was listed is left to the next pass.
    async fn read(&self, client: &Client, mut at: Cursor, file: File) -> Result<Pulled> {
        let key = file.key.split('/').map(encode).collect::<Vec<_>>().join("/");
        let request = Request::get(format!("/{}/{key}", encode(&self.bucket))).header("if-match", &file.tag);
        let place = (file.offset > 0).then_some(Place { offset: file.offset, last: file.last });
        let format = rows::format(&file.key).unwrap_or(Format::Ndjson);
        let mut deliveries = Vec::new();
        let next = match piece(client, &request, &format, "", place).await {
            Ok(piece) => {
                let of =
                    rows::Of { bucket: &self.bucket, key: &file.key, tag: &file.tag, written: file.written };
                deliveries = of.deliveries(&piece.records, piece.count - piece.records.len() as u64)?;
                piece.next.map(|place| File {
                    offset: place.offset,
                    last: place.last,
                    rows: piece.count,
                    ..file.clone()
                })
            }
            Err(error) if matches!(error.status(), Some(404 | 412)) || error.kind() == Kind::Expired => {
                return Ok(Pulled { cursor: serde_json::to_value(at)?, more: true, ..Pulled::default() });
            }
            // It keeps back no other file: the reason is kept with the rejected items.
            Err(error)
                if error.kind() == Kind::Unexpected && error.status().is_none_or(|status| status < 300) =>
            {
                let of =
                    rows::Of { bucket: &self.bucket, key: &file.key, tag: &file.tag, written: file.written };
                deliveries.push(of.unreadable(&error, file.rows));
                None
            }
            Err(error) => return Err(error),
        };
        if next.is_none() {
            at.read.insert(mark(&file.key, &file.tag), file.written);
        }
        at.file = next;
        Ok(Pulled { deliveries, cursor: serde_json::to_value(at)?, more: true })
    }
}

impl Cursor {
    /// This pass has come to its end.
    fn next_pass(mut self) -> Result<Value> {
        let (since, until) = (self.until, 0);
        self.read.retain(|_, written| *written > since - LOOK_BACK);
        while self.read.len() > REMEMBERED {
            let oldest = self.read.iter().min_by_key(|(_, written)| **written).map(|(mark, _)| mark.clone());
            oldest.map(|mark| self.read.remove(&mark));
        }
        Ok(serde_json::to_value(Self { since, until, after: String::new(), file: None, read: self.read })?)
    }
}

/// A file in few letters: FNV-1a over its key and tag.
fn mark(key: &str, tag: &str) -> String {
    let bytes = key.bytes().chain([0]).chain(tag.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

impl EventSource for AmazonS3 {
    /// Amazon SNS, which may carry notifications, asks whether they are wanted.
    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        let kind = delivery.header("x-amz-sns-message-type")?;
        let then = match kind {
            "SubscriptionConfirmation" => {
                let url = Record::parse(&delivery.body).ok()?.text("SubscribeURL").ok()??;
                Some(Request::get(url).at("sns"))
            }
            "UnsubscribeConfirmation" => None,
            _ => return None,
        };
        Some(Handshake { reply: Reply::OK, then })
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        match item.surface.path {
            rows::SURFACE => rows::map(item),
            // What it tells of is found by listing.
            _ => Ok(Vec::new()),
        }
    }
}

/// What the error codes of S3 mean where the status does not tell.
fn fault(answer: &Answer) -> Option<Error> {
    if answer.status.is_success() {
        return None;
    }
    let error = Record::parse(&format::document(&Format::Xml, &answer.body).ok()?).ok()?;
    let code = error.text("Error.Code").ok()??;
    let kind = match code.as_str() {
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken" => Kind::Auth,
        "NoSuchBucket"
        | "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => Kind::Config,
        "SlowDown" => Kind::RateLimited,
        "RequestTimeTooSkewed" | "InternalError" | "ServiceUnavailable" => Kind::Transient,
        _ => return None,
    };
    let message = error.text("Error.Message").ok()?.unwrap_or_default();
    Some(Error::new(kind, format!("{code}: {message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_remembers_what_may_come_up_again_and_no_more() {
        let mut at = Cursor { until: 10_000, after: "z".into(), ..Cursor::default() };
        at.read.insert(mark("old", "t"), 10_000 - LOOK_BACK);
        at.read.insert(mark("new", "t"), 9_000);
        let next = Cursor::deserialize(at.clone().next_pass().unwrap()).unwrap();
        assert_eq!((next.since, next.until, next.after.as_str()), (10_000, 0, ""));
        assert_eq!(next.read.keys().collect::<Vec<_>>(), [&mark("new", "t")]);
        at.read = (0..REMEMBERED as i64 + 5).map(|n| (mark(&n.to_string(), "t"), 7_000 + n)).collect();
        let next = Cursor::deserialize(at.next_pass().unwrap()).unwrap();
        assert_eq!(next.read.len(), REMEMBERED);
        assert!(!next.read.contains_key(&mark("0", "t")), "the oldest go");
    }

    #[test]
    fn errors_of_the_store_say_whose_move_it_is() {
        let judged = |status: u16, code: &str| {
            let body =
                format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
            let status = http::StatusCode::from_u16(status).unwrap();
            fault(&Answer { status, headers: Default::default(), body: body.into() })
                .map(|error| error.kind())
        };
        assert_eq!(judged(403, "SignatureDoesNotMatch"), Some(Kind::Auth));
        assert_eq!(judged(404, "NoSuchBucket"), Some(Kind::Config));
        assert_eq!(judged(503, "SlowDown"), Some(Kind::RateLimited));
        assert_eq!(judged(403, "AccessDenied"), None);
        assert_eq!(judged(200, "SlowDown"), None);
    }
}
