//! A thread for one kind of work. What allocators keep for a thread they keep for each: were rows made now on this thread and now on that,
//! every one of them would hold on to what a whole batch once took.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Sender, channel},
};

use headwater_core::error::{Error, Result};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The thread; it ends when this is dropped, behind the work at hand.
#[derive(Clone)]
pub struct OwnThread {
    name: &'static str,
    jobs: Sender<Job>,
}

impl OwnThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn start(name: &'static str) -> Result<Self> {
        let (jobs, todo) = channel::<Job>();
        let work = move || {
            for job in todo {
                // Whoever waits hears of it: the answer is dropped.
                let _panicked = catch_unwind(AssertUnwindSafe(job));
            }
        };
        match std::thread::Builder::new().name(name.into()).spawn(work) {
            Ok(_) => Ok(Self { name, jobs }),
            Err(error) => Err(Error::transient(refused(name, &error))),
        }
    }

    /// Runs `work` there, behind what was asked for before.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move || drop(done.send(work())));
        self.jobs
            .send(job)
            .map_err(|_| Error::unexpected(format!("the thread of {} has ended", self.name)))?;
        answer.await.map_err(|_| Error::unexpected(format!("{} panicked", self.name)))
    }
}

/// What to say, and what to do, when the system gives no thread.
pub fn refused(name: &str, error: &std::io::Error) -> String {
    format!(
        "no thread can be started for {name} ({error}): raise the limit of tasks (ulimit -u, TasksMax of systemd, pids of the container)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_outlives_a_panic_and_keeps_the_order() {
        let thread = OwnThread::start("test").unwrap();
        assert_eq!(thread.run(|| 1).await.unwrap(), 1);
        assert!(thread.run(|| panic!("as planned")).await.is_err());
        let place = || std::thread::current().id();
        assert_eq!(thread.run(place).await.unwrap(), thread.run(place).await.unwrap());
    }
}
