//! `samebasin gauge` as a program of its own.

fn main() -> std::process::ExitCode {
    stages::stage::main::<stages::gauge::Gauge>()
}
