//! Where the pipeline runs: on threads of its own, so that receiving never waits for a thread that waits for a warehouse. A burst is kept
//! on the disk, and drained when there is time.

use headwater_core::error::{Error, Result};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

/// Threads that may wait for disks at once: reading two logs, the books, and a schema or two.
const BLOCKING: usize = 5;

/// The pipeline's threads; they end when this is dropped, whatever they do.
pub struct Aside(Option<Runtime>);

impl Aside {
    /// Starts them.
    pub fn start() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(BLOCKING)
            .thread_name("pipeline")
            .enable_all()
            .build();
        let runtime =
            runtime.map_err(|error| Error::config(format!("no threads for the pipeline: {error}")))?;
        Ok(Self(Some(runtime)))
    }

    /// Runs a task there.
    pub fn spawn(&self, tasks: &mut JoinSet<()>, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            tasks.spawn_on(task, runtime.handle());
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
