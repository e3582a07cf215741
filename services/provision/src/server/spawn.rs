//! Starting a child that dies with us. Linux kills it when the *thread* that started it ends
//! (`PR_SET_PDEATHSIG`, set by `setpriv`), so children are started from one thread that lives as
//! long as the process.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender, SyncSender};

use crate::tool::on_path;

type Order = (Command, SyncSender<io::Result<Child>>);

/// Starts the command on the thread that outlives every runtime.
///
/// # Errors
/// The operating system refuses.
pub fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                // The asker is waiting; when it is gone, dropping the child is all that is left.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, result) = mpsc::sync_channel(1);
    let gone = || io::Error::other("the spawning thread is gone");
    spawner.send((command, answer)).map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}

/// `setpriv`, where it exists; without it a server is killed on drop only.
#[must_use]
pub fn setpriv() -> Option<&'static PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || if cfg!(target_os = "linux") { on_path("setpriv") } else { None };
    FOUND.get_or_init(find).as_ref()
}
