//! `samebasin interpolate` as a program of its own.

fn main() -> std::process::ExitCode {
    stages::stage::main::<stages::interpolate::Interpolate>()
}
