//! Threads that verify signatures while the chain goes on: what is owed is handed over in
//! batches, and whoever hands over works too when all are busy. The decisions are in
//! [`crate::debt`].

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::debt::{BATCH, Debt, together};
use crate::verify::Break;

type First = Arc<Mutex<Option<Break>>>;
type Tasks = Arc<Mutex<Receiver<Vec<Debt>>>>;

/// Verifies signatures on its own threads and the caller's.
pub struct Crew {
    strict: bool,
    waiting: Vec<Debt>,
    send: Option<SyncSender<Vec<Debt>>>,
    tasks: Tasks,
    helpers: Vec<JoinHandle<()>>,
    first: First,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the break with the lowest position.
fn report(first: &First, done: Result<(), Break>) {
    if let Err(broken) = done {
        let mut first = lock(first);
        if first.as_ref().is_none_or(|old| broken.position < old.position) {
            *first = Some(broken);
        }
    }
}

fn help(tasks: &Tasks, first: &First, strict: bool) {
    loop {
        let task = lock(tasks).recv();
        let Ok(task) = task else { return };
        report(first, together(&task, strict));
    }
}

impl Crew {
    /// A crew of this many threads, the caller's included.
    pub fn new(threads: usize, strict: bool) -> Self {
        let helpers = threads.saturating_sub(1);
        let first = First::default();
        let (send, tasks) = sync_channel(helpers * 2);
        let tasks = Arc::new(Mutex::new(tasks));
        let helpers: Vec<_> = (0..helpers)
            .map(|_| {
                let (tasks, first) = (Arc::clone(&tasks), Arc::clone(&first));
                std::thread::spawn(move || help(&tasks, &first, strict))
            })
            .collect();
        let send = (!helpers.is_empty()).then_some(send);
        Self { strict, waiting: Vec::with_capacity(BATCH), send, tasks, helpers, first }
    }

    /// Takes one signature on. The answer may come later, at the latest from [`Self::settle`].
    pub fn owe(&mut self, debt: Debt) -> Result<(), Break> {
        self.waiting.push(debt);
        if self.waiting.len() < BATCH {
            return Ok(());
        }
        let task = std::mem::replace(&mut self.waiting, Vec::with_capacity(BATCH));
        let mine = match &self.send {
            None => Some(task),
            Some(send) => match send.try_send(task) {
                Ok(()) => None,
                Err(TrySendError::Full(task) | TrySendError::Disconnected(task)) => Some(task),
            },
        };
        if let Some(task) = mine {
            report(&self.first, together(&task, self.strict));
        }
        lock(&self.first).clone().map_or(Ok(()), Err)
    }

    /// Sees to everything that is owed, on the caller's thread too; answers the first wrong
    /// signature.
    pub fn settle(mut self) -> Result<(), Break> {
        // Nobody waits for more from here on: whoever is free takes what is left.
        drop(self.send.take());
        report(&self.first, together(&self.waiting, self.strict));
        help(&self.tasks, &self.first, self.strict);
        for helper in self.helpers.drain(..) {
            helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        lock(&self.first).take().map_or(Ok(()), Err)
    }
}
