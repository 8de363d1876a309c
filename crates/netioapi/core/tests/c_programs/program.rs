//! A program in all its variants.

use crate::client::Client;
use crate::compile::{Compiler, FLAVOURS};

/// Compiles the program of both flavours with every compiler, links it in the compiler's [ways](Compiler::links), and runs all
/// of that.
pub(crate) fn runs_everywhere(name: &str) {
    // Most of the time a program waits for something to happen or not to happen.
    std::thread::scope(|scope| {
        for flavour in FLAVOURS {
            for compiler in Compiler::ALL {
                scope.spawn(move || {
                    for &link in compiler.links() {
                        let program = compiler.program(flavour, link, name);
                        Client::new(name).host(&program, &[], None);
                    }
                });
            }
        }
    });
}
