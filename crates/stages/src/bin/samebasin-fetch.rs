//! `samebasin fetch` as a program of its own.

fn main() -> std::process::ExitCode {
    stages::stage::main::<stages::fetch::Fetch>()
}
