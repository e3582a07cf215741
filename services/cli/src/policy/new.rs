//! `canonry policy new`: a folder with a policy to begin with.

use std::path::PathBuf;

use canonry_policy::starter;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Begin a folder of policies.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder must be new or empty. In data.json each action of a tool has a risk, and each risk names who \
must agree: nobody, an operator, an approver, or two of them. What it does not name is denied.

EXAMPLES:
    canonry policy new policies/
    canonry policy test policies/
    canonry policy build policies/ --out bundle.tar.gz --revision 1 --key founder.key")]
pub struct Args {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs it.
pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let folder = &args.folder;
    let failed = |e| Failure::refused(format!("{}: {e}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        let folder = folder.display();
        return Err(Failure::refused(format!("{folder}: it is not empty; name another folder")));
    }
    for (name, text) in starter::FILES {
        std::fs::write(folder.join(name), text).map_err(failed)?;
    }
    let names: Vec<&str> = starter::FILES.iter().map(|(name, _)| *name).collect();
    if context.json {
        return output::json(&json!({ "folder": folder, "files": names }));
    }
    output::line(&format!("{}: {}", folder.display(), names.join(", ")));
    output::line("write your tools into data.json, then: canonry policy test, build, publish");
    Ok(())
}
