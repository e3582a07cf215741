//! The one binary, `canonry`. Every service is a library that `canonry-cli` mounts; look there next.

fn main() -> std::process::ExitCode {
    canonry_cli::main()
}
