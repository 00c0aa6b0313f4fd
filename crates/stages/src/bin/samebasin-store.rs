//! `samebasin store` as a program of its own.

fn main() -> std::process::ExitCode {
    stages::artifacts::main()
}
