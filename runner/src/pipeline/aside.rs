//! Where the pipeline runs: on threads of its own that give way. Receiving comes first: a burst is kept on the disk, and drained when there
//! is time.

use headwater_core::error::{Error, Result};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

/// How much its threads give way to the others of the machine.
const NICE: i32 = 10;
/// Threads that may wait for disks at once: mapping, rows, the books, and a schema or two.
const BLOCKING: usize = 8;

/// The pipeline's threads; they end when this is dropped, whatever they do.
pub struct Aside(Option<Runtime>);

impl Aside {
    /// Starts them.
    pub fn start() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(BLOCKING)
            .thread_name("pipeline")
            .on_thread_start(|| {
                // Of one thread, not of the process. Where it is not allowed they are as all others.
                let _ = rustix::process::nice(NICE);
            })
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
