//! `/readyz`: should further deliveries be sent here? A load balancer asks. Not while the disk is nearly full or behind, and not while
//! what has been received waits too long for the warehouse; the answer says which, and recovers by itself.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::response::{IntoResponse, Response};
use headwater_core::error::Result;
use http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    inbox::{Log, StoredDelivery},
    pipeline::{books::Books, frame},
};

/// With so many bytes waiting for the disk, no further traffic should be sent here.
const WAITING: u64 = 32 << 20;
/// So long an answer stands: anybody may ask.
const STANDS: Duration = Duration::from_secs(1);
/// A disk that does not answer so long is a reason of its own.
const PATIENCE: Duration = Duration::from_secs(3);

/// From when on nothing more should be sent here.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// The least that must be free on the disks of the data folder, in bytes.
    pub disk: u64,
    /// The oldest that a delivery may become before it is in the warehouse; none: that does not matter.
    pub lag: Option<Duration>,
}

/// What readiness is read from.
pub struct Ready {
    /// From when on.
    pub marks: Marks,
    /// What has been received.
    pub inbox: Arc<Log>,
    /// What has been made of it.
    pub calls: Arc<Log>,
    /// How far that has come.
    pub books: Books,
    /// Folders whose disks must have room.
    pub folders: Vec<PathBuf>,
    /// The latest answer: why not, if not.
    pub latest: Mutex<Option<(Instant, Vec<Value>)>>,
}

impl Ready {
    /// The answer to a request.
    pub(super) async fn answer(&self) -> Response {
        let reasons = self.reasons().await;
        let (status, body) = match reasons.is_empty() {
            true => (StatusCode::OK, json!({ "success": true })),
            false => {
                let texts: Vec<&str> =
                    reasons.iter().filter_map(|reason| reason["message"].as_str()).collect();
                let body = json!({ "success": false, "message": texts.join("; "), "reasons": reasons });
                (StatusCode::SERVICE_UNAVAILABLE, body)
            }
        };
        (
            status,
            [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")],
            body.to_string(),
        )
            .into_response()
    }

    /// Why nothing more should be sent here; nothing if it should.
    pub async fn reasons(&self) -> Vec<Value> {
        let mut latest = self.latest.lock().await;
        if let Some((at, reasons)) = &*latest
            && at.elapsed() < STANDS
        {
            return reasons.clone();
        }
        let reasons = match tokio::time::timeout(PATIENCE, self.look()).await {
            Ok(Ok(reasons)) => reasons,
            Ok(Err(error)) => vec![json!({ "reason": "disk", "message": error.to_string() })],
            Err(_) => vec![json!({
                "reason": "disk",
                "message": format!("the disk of data_dir has not answered for {} s", PATIENCE.as_secs()),
            })],
        };
        *latest = Some((Instant::now(), reasons.clone()));
        reasons
    }

    async fn look(&self) -> Result<Vec<Value>> {
        let mut reasons = Vec::new();
        let waiting = self.inbox.stats().waiting;
        if waiting >= WAITING {
            let message = "the disk is behind: too much waits to be kept";
            reasons.push(
                json!({ "reason": "disk_behind", "bytes": waiting, "limit": WAITING, "message": message }),
            );
        }
        for folder in &self.folders {
            let here = folder.clone();
            let free = tokio::task::spawn_blocking(move || fs4::available_space(&here)).await;
            let Ok(Ok(free)) = free else { continue };
            if free < self.marks.disk {
                let message = format!(
                    "the disk of {} has {} MiB free, less than receive.ready_disk ({} MiB)",
                    folder.display(),
                    free >> 20,
                    self.marks.disk >> 20
                );
                reasons.push(json!({ "reason": "disk_full", "bytes": free, "limit": self.marks.disk, "message": message }));
                break;
            }
        }
        if let Some(most) = self.marks.lag {
            for (reason, oldest) in [
                ("normalising_behind", self.unnormalised().await?),
                ("loading_behind", self.unloaded().await?),
            ] {
                let Some(lag) = oldest.map(|since| Timestamp::now().duration_since(since).unsigned_abs())
                else {
                    continue;
                };
                if lag > most {
                    let what = if reason == "loading_behind" { "loaded" } else { "normalised" };
                    let message = format!(
                        "a delivery has waited {} s to be {what}, longer than receive.max_lag ({} s)",
                        lag.as_secs(),
                        most.as_secs()
                    );
                    reasons.push(json!({ "reason": reason, "seconds": lag.as_secs(), "limit": most.as_secs(), "message": message }));
                }
            }
        }
        Ok(reasons)
    }

    /// When the oldest delivery came that nothing has been made of.
    async fn unnormalised(&self) -> Result<Option<Timestamp>> {
        self.received(self.books.position("inbox").await?.max(1)).await
    }

    /// When the oldest delivery came whose calls are not all in the warehouse.
    async fn unloaded(&self) -> Result<Option<Timestamp>> {
        let next = self.books.position("loaded").await? + 1;
        if self.calls.committed() < next {
            return Ok(None);
        }
        let batch = self.calls.read(next, 1).await?;
        let address = batch.frames.first().and_then(|frame| frame::decode(&frame.body).ok());
        let delivery = address.and_then(|(address, _)| address.delivery.split(':').next()?.parse().ok());
        // Where the delivery itself is kept no longer, it is older than those that are.
        self.received(delivery.unwrap_or(1)).await
    }

    /// When the first delivery that is still kept, from this one on, came.
    async fn received(&self, seq: u64) -> Result<Option<Timestamp>> {
        if self.inbox.committed() < seq {
            return Ok(None);
        }
        let batch = self.inbox.read(seq, 1).await?;
        let stored = batch.frames.first().and_then(|frame| StoredDelivery::decode(&frame.body).ok());
        Ok(stored.map(|stored| stored.delivery.received_at))
    }
}
