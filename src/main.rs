//! The tailwater program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tailwater::cli::main(std::env::args_os())
}
