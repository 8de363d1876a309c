//! The C functions as a program in Rust calls them. A library that exports them needs the first line and no more.

netioapi::export!(netioapi::Program);

fn main() {
    let mut port = 0;
    // SAFETY: the pointer is valid for the call.
    let status = unsafe { GetTeredoPort(&raw mut port) };
    match status {
        0 => println!("port {port}"),
        _ => println!(
            "no port: {:?}",
            netioapi::status_message::<netioapi::Program>(status)
        ),
    }
}
