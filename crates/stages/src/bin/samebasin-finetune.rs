//! `samebasin finetune` as a program of its own.

fn main() -> std::process::ExitCode {
    stages::stage::main::<stages::finetune::Finetune>()
}
