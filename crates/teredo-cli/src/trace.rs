//! `teredo trace`: the exchange in a capture file as a ladder diagram. It needs no service and no privilege.

mod report;

use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::path::Path;

use teredo_trace::{CaptureError, Ladder, Limits, trace_file};

use crate::args::TraceArgs;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::output::{Output, narrate};

/// The largest file that is read, in bytes. A Teredo exchange of interest is much shorter.
const LARGEST: u64 = 512 * 1024 * 1024;

/// Reads the capture and prints the trace.
pub(crate) fn run(args: &TraceArgs, output: &mut Output) -> Result<Exit, Failure> {
    let bytes = read(&args.file)?;
    let trace =
        trace_file(&bytes, Limits::default()).map_err(|error| refused(&args.file, error))?;
    drop(bytes);
    if let Some(out) = &args.svg {
        let svg = Ladder::new(&trace).svg();
        if out == Path::new("-") {
            output.bytes(svg.as_bytes())?;
            return Ok(Exit::Done);
        }
        fs::write(out, svg).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}", out.display())).because(error)
        })?;
    }
    if args.json {
        output.json(&trace)?;
    } else {
        output.line(report::Report(&trace))?;
    }
    if let Some(out) = args.svg.as_ref().filter(|_| !args.json) {
        narrate(format_args!("the picture is in {}", out.display()));
    }
    Ok(Exit::Done)
}

/// The bytes of the file; of standard input if it is `-`.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| {
        let failure = Failure::new(Exit::Failed, format!("cannot read {}", shown(path)));
        let too_large = error.kind() == io::ErrorKind::FileTooLarge;
        let failure = failure.because(error);
        if too_large {
            failure.hint("'tcpdump -r FILE -w OUT udp' keeps the part that matters")
        } else {
            failure
        }
    };
    if path != Path::new("-") {
        return file::read(path, LARGEST).map_err(failed);
    }
    if io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Failed, "standard input is a terminal")
            .hint("'tcpdump -w - udp | teredo trace -' reads what tcpdump captures"));
    }
    let input = rustix::io::dup(rustix::stdio::stdin()).map_err(|error| failed(error.into()))?;
    file::read_open(File::from(input), LARGEST).map_err(failed)
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        String::from("standard input")
    } else {
        path.display().to_string()
    }
}

fn refused(path: &Path, error: CaptureError) -> Failure {
    let failure =
        Failure::new(Exit::Failed, format!("{} is no capture file", shown(path))).because(error);
    failure.hint(match error {
        CaptureError::Compressed(_) => "decompress it first",
        CaptureError::Empty | CaptureError::Truncated => {
            "tcpdump writes its buffer when it ends; 'tcpdump -U' writes each packet at once"
        }
        _ => "'tcpdump -w FILE udp' makes one, and Wireshark saves one as pcap or pcapng",
    })
}

#[cfg(test)]
mod tests;
