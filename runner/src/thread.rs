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
    jobs: Option<Sender<Job>>,
}

impl OwnThread {
    /// Starts it.
    pub fn start(name: &'static str) -> Self {
        let (jobs, todo) = channel::<Job>();
        let work = move || {
            for job in todo {
                // Whoever waits hears of it: the answer is dropped.
                let _panicked = catch_unwind(AssertUnwindSafe(job));
            }
        };
        let started = std::thread::Builder::new().name(name.into()).spawn(work);
        Self { name, jobs: started.is_ok().then_some(jobs) }
    }

    /// Runs `work` there, behind what was asked for before.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move || drop(done.send(work())));
        let ended = || Error::unexpected(format!("the thread of {} has ended", self.name));
        match &self.jobs {
            Some(jobs) => jobs.send(job).map_err(|_| ended())?,
            None => return Err(ended()),
        }
        answer.await.map_err(|_| Error::unexpected(format!("{} panicked", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_outlives_a_panic_and_keeps_the_order() {
        let thread = OwnThread::start("test");
        assert_eq!(thread.run(|| 1).await.unwrap(), 1);
        assert!(thread.run(|| panic!("as planned")).await.is_err());
        let place = || std::thread::current().id();
        assert_eq!(thread.run(place).await.unwrap(), thread.run(place).await.unwrap());
    }
}
