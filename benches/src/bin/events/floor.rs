//! The floor of receiving: a bare axum server that only appends bodies durably. Who waits shares one `fdatasync` with everybody else
//! who waits; nothing is checked, stamped or looked up.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use bytes::Bytes;
use tokio::sync::oneshot;

/// Bodies that wait for the disk, and who waits for them.
#[derive(Default)]
struct Waiting {
    bodies: Mutex<Vec<(Bytes, oneshot::Sender<()>)>>,
    wake: Condvar,
}

impl Waiting {
    async fn append(&self, body: Bytes) -> StatusCode {
        let (done, answer) = oneshot::channel();
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).push((body, done));
        self.wake.notify_one();
        match answer.await {
            Ok(()) => StatusCode::OK,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn write(&self, mut file: File) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
            while bodies.is_empty() {
                bodies = self.wake.wait(bodies).unwrap_or_else(PoisonError::into_inner);
            }
            let taken = std::mem::take(&mut *bodies);
            drop(bodies);
            buffer.clear();
            for (body, _) in &taken {
                buffer.extend_from_slice(&(body.len() as u32).to_le_bytes());
                buffer.extend_from_slice(body);
            }
            file.write_all(&buffer)?;
            file.sync_data()?;
            for (_, done) in taken {
                let _gone = done.send(());
            }
        }
    }
}

/// Everything that is posted is appended to a file in `folder`.
pub fn router(folder: &Path) -> std::io::Result<Router> {
    let waiting = Arc::new(Waiting::default());
    let file = File::create(folder.join("floor.log"))?;
    let writer = waiting.clone();
    std::thread::spawn(move || {
        if let Err(error) = writer.write(file) {
            eprintln!("the floor's file: {error}");
        }
    });
    let take = |State(waiting): State<Arc<Waiting>>, body: Bytes| async move { waiting.append(body).await };
    Ok(Router::new().route("/{*path}", post(take)).with_state(waiting))
}
