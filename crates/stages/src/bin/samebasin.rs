//! The front door: `samebasin <stage>`.

fn main() -> std::process::ExitCode {
    stages::front_door::main()
}
