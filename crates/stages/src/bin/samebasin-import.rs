//! `samebasin import` as a program of its own.

fn main() -> std::process::ExitCode {
    stages::import::main()
}
