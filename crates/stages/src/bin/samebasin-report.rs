//! `samebasin report` as a program of its own.

fn main() -> std::process::ExitCode {
    stages::stage::main::<stages::report::Report>()
}
