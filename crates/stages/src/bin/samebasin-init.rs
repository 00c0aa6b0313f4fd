//! `samebasin init` as a program of its own.

fn main() -> std::process::ExitCode {
    stages::init::main()
}
