//! The one binary, `canonry`. Every service is a library that `canonry-cli` mounts; look there next.

/// Commands and readers make many small pieces of memory, and free them on another thread: this
/// allocator is made for that (ADR 15).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    canonry_cli::main()
}
