//! The load: a process of its own, raw connections that are kept alive, one request at a time on each. Requests are made before the
//! clock starts; a batch only gets new message ids before it is sent.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Result,
    traffic::{self, ID},
};

/// Distinct webhooks, over all connections.
const WEBHOOKS: u64 = 20_000;

/// What is asked of the load.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub shape: Shape,
    /// Over so many connections.
    pub connections: u64,
    /// For so long.
    pub seconds: f64,
    /// So many requests a second, sent when their time has come, whatever became of those before; 0 for as many as are answered.
    pub rate: f64,
    /// Where message ids begin.
    pub seed: u64,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// One signed event.
    Webhook,
    /// One call with a write key.
    Track,
    /// A hundred calls with a write key.
    Batch,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// Requests that were answered 200.
    pub taken: u64,
    /// Requests that were answered otherwise, or not at all.
    pub refused: u64,
    /// How long it took.
    pub seconds: f64,
    /// The median, in milliseconds, counted from when the request was due.
    pub p50: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
    /// 999 of 1,000 were faster.
    pub p999: f64,
    /// Processor time of the server for each request, in microseconds; the load does not know it.
    #[serde(default)]
    pub cpu: f64,
}

impl Done {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.taken as f64 / self.seconds } else { 0.0 }
    }
}

/// A request, and where its message ids stand.
#[derive(Clone)]
struct Request {
    bytes: Vec<u8>,
    ids: Vec<usize>,
}

impl Request {
    fn new(path: &str, headers: &str, body: &[u8]) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench/1\r\naccept: */*\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        let mark = b"\"messageId\":\"";
        let ids =
            bytes.windows(mark.len()).enumerate().filter(|(_, w)| w == mark).map(|(at, _)| at + mark.len());
        let ids = ids.collect();
        Self { bytes, ids }
    }

    fn renew(&mut self, next: &AtomicU64) {
        let first = next.fetch_add(self.ids.len() as u64, Ordering::Relaxed);
        for (n, at) in self.ids.iter().enumerate() {
            self.bytes[*at..*at + ID].copy_from_slice(traffic::id(first + n as u64).as_bytes());
        }
    }
}

/// Sends, and measures.
pub async fn run(load: Load) -> Result<Done> {
    let pool: Arc<Vec<Request>> = Arc::new(match load.shape {
        Shape::Webhook => (0..WEBHOOKS).map(|n| webhook(load.seed + n)).collect::<Result<_>>()?,
        Shape::Track => {
            let mut call = String::new();
            traffic::call(3, &mut call);
            let headers = "content-type: application/json\r\nauthorization: Basic d2tfYmVuY2g6\r\n";
            vec![Request::new("/v1/track", headers, call.as_bytes())]
        }
        Shape::Batch => {
            let body = traffic::batch(0, 100);
            vec![Request::new("/v1/batch", "content-type: application/json\r\n", body.as_bytes())]
        }
    });
    let ids = Arc::new(AtomicU64::new(load.seed));
    let mut streams = Vec::new();
    for _ in 0..load.connections {
        let stream = TcpStream::connect(load.to).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(load.seconds);
    let mut tasks = Vec::new();
    for (place, stream) in streams.into_iter().enumerate() {
        let (pool, ids) = (pool.clone(), ids.clone());
        tasks.push(tokio::spawn(connection(load, place as u64, stream, pool, ids, began, end)));
    }
    let mut done = Done::default();
    let mut all = Vec::new();
    for task in tasks {
        let (mut times, refused) = task.await?;
        done.refused += refused;
        all.append(&mut times);
    }
    done.seconds = began.elapsed().as_secs_f64();
    done.taken = all.len() as u64;
    all.sort_unstable();
    let at = |share: f64| {
        let place = ((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1));
        all.get(place).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    };
    (done.p50, done.p99, done.p999) = (at(0.5), at(0.99), at(0.999));
    Ok(done)
}

fn webhook(n: u64) -> Result<Request> {
    let (headers, body) = traffic::webhook(n)?;
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap_or_default()))
        .collect();
    Ok(Request::new(&format!("/webhooks/mail/{}", traffic::WEBHOOK_KEY), &lines, &body))
}

/// One connection: how long each request took, in microseconds, and how many were refused.
async fn connection(
    load: Load,
    place: u64,
    mut stream: TcpStream,
    pool: Arc<Vec<Request>>,
    ids: Arc<AtomicU64>,
    began: Instant,
    end: Instant,
) -> (Vec<u32>, u64) {
    let mut own = (load.shape != Shape::Webhook).then(|| pool[0].clone());
    let mut turn = place as usize * (pool.len() / load.connections.max(1) as usize);
    let step = (load.rate > 0.0).then(|| Duration::from_secs_f64(load.connections as f64 / load.rate));
    let mut due = began + step.unwrap_or_default().mul_f64(place as f64 / load.connections as f64);
    let mut times = Vec::with_capacity(1 << 14);
    let mut refused = 0;
    let mut answer = vec![0; 4096];
    loop {
        let now = Instant::now();
        if now >= end || step.is_some() && due >= end {
            return (times, refused);
        }
        match step {
            Some(step) => {
                if due > now {
                    tokio::time::sleep_until(due.into()).await;
                }
                due += step;
            }
            None => due = now,
        }
        let start = step.map_or(due, |step| due - step);
        let request = match &mut own {
            Some(own) => {
                own.renew(&ids);
                &*own
            }
            None => &pool[turn % pool.len()],
        };
        turn += 1;
        match exchange(&mut stream, &request.bytes, &mut answer).await {
            Ok(true) => times.push(start.elapsed().as_micros().min(u128::from(u32::MAX)) as u32),
            Ok(false) => refused += 1,
            Err(error) => {
                eprintln!("a connection broke: {error}");
                return (times, refused + 1);
            }
        }
    }
}

/// One request and its answer: whether that was 200.
async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) -> std::io::Result<bool> {
    stream.write_all(request).await?;
    let mut filled = 0;
    loop {
        let more = stream.read(&mut answer[filled..]).await?;
        if more == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        filled += more;
        let Some(head) = answer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head]).unwrap_or_default();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
            .unwrap_or_default();
        if filled >= head + 4 + length {
            return Ok(text.starts_with("HTTP/1.1 200"));
        }
    }
}
