//! What stands between the program and its vendor: answers that are slow, cut, held back or refused, rows that come twice, and records
//! that have members nobody has seen before.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use futures::StreamExt;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::vendor::answer;

/// An answer of a sandbox is not larger, in bytes.
const LARGEST: usize = 64 << 20;

/// How the names of members begin that nobody has seen before.
pub const GROWN: &str = "grown_";

/// What happens to an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It comes.
    Good,
    /// It comes late, behind those that were asked for after it.
    Late(u64),
    /// It ends in its middle.
    Cut,
    /// The connection ends before anything of it came.
    Reset,
    /// Some of its rows come twice.
    Twice,
    /// The vendor refuses.
    Refused(u16),
}

struct Weather {
    rng: StdRng,
    /// So many further requests are refused like this.
    storm: (u32, u16),
}

impl Weather {
    fn next(&mut self) -> Fate {
        let rng = &mut self.rng;
        if self.storm.0 > 0 {
            self.storm.0 -= 1;
            return Fate::Refused(self.storm.1);
        }
        match rng.random_range(0..100) {
            0..8 => Fate::Late(rng.random_range(20..150)),
            8..12 => Fate::Cut,
            12..15 => Fate::Reset,
            15..30 => Fate::Twice,
            30..33 => {
                self.storm = (rng.random_range(0..3), [429, 429, 500, 502, 503][rng.random_range(0..5)]);
                Fate::Refused(self.storm.1)
            }
            _ => Fate::Good,
        }
    }
}

/// Troubles everybody who asks this router, the same way for the same seed.
pub fn troubled(router: Router, seed: u64) -> Router {
    let weather = Arc::new(Mutex::new(Weather { rng: StdRng::seed_from_u64(seed), storm: (0, 0) }));
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let fate = weather.lock().expect("weather").next();
        async move {
            if let Fate::Refused(status) = fate {
                return refusal(status);
            }
            let response = next.run(request).await;
            if !response.status().is_success() {
                return response;
            }
            match fate {
                Fate::Late(millis) => {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    response
                }
                Fate::Cut => broken_off(response, |length| length / 2).await,
                Fate::Reset => broken_off(response, |_| 0).await,
                Fate::Twice => changed(response, twice).await,
                Fate::Good | Fate::Refused(_) => response,
            }
        }
    }))
}

/// Gives records members that differ from record to record, in name and in kind: tables grow and widen all the way.
pub fn growing(router: Router) -> Router {
    router.layer(middleware::from_fn(|request: Request, next: Next| async {
        let response = next.run(request).await;
        if response.status().is_success() { changed(response, grow).await } else { response }
    }))
}

fn refusal(status: u16) -> Response {
    let mut response = answer(status, "application/json", r#"{"error":"as the test wants it"}"#);
    if status == 429 || status == 503 {
        response.headers_mut().insert("retry-after", "0".parse().expect("a value"));
    }
    response
}

/// The answer, but its body ends early and badly.
async fn broken_off(response: Response, left: impl Fn(usize) -> usize) -> Response {
    let (parts, body) = response.into_parts();
    let mut bytes = to_bytes(body, LARGEST).await.expect("an answer");
    bytes.truncate(left(bytes.len()));
    let begun = futures::stream::iter([Ok(bytes)]);
    let cut = futures::stream::once(async {
        // What was written has to leave first.
        tokio::time::sleep(Duration::from_millis(5)).await;
        Err::<Bytes, _>(std::io::Error::other("cut"))
    });
    let mut response = Response::from_parts(parts, Body::from_stream(begun.chain(cut)));
    response.headers_mut().remove("content-length");
    response
}

/// The answer, its lists of records changed.
async fn changed(response: Response, change: fn(&mut Vec<Value>)) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, LARGEST).await.expect("an answer");
    let Ok(mut whole) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    let lists = whole.as_object_mut().into_iter().flat_map(|whole| whole.values_mut());
    lists
        .filter_map(Value::as_array_mut)
        .filter(|rows| rows.iter().all(|row| row["id"].is_string() || row["id"].is_number()))
        .for_each(change);
    parts.headers.remove("content-length");
    Response::from_parts(parts, Body::from(whole.to_string()))
}

/// The last rows of a page stand at its beginning too.
fn twice(rows: &mut Vec<Value>) {
    let again = rows[rows.len() - rows.len().min(3)..].to_vec();
    rows.splice(0..0, again);
}

fn grow(rows: &mut Vec<Value>) {
    for row in rows {
        let id = row["id"].to_string();
        let kind = id.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        row[format!("{GROWN}{}", kind % 37)] = match kind / 37 % 3 {
            0 => Value::from(kind % 1000),
            1 => Value::from(format!("text of {id}")),
            _ => Value::from(f64::from(kind % 1000) + 0.5),
        };
    }
}
