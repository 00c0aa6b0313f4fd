//! `samebasin plan` as a program of its own.

fn main() -> std::process::ExitCode {
    stages::plan::main()
}
