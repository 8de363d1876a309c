//! `teredo trace`: the exchange in a capture file as a ladder diagram. It needs no service and no privilege.

mod live;
mod report;

use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use teredo_trace::{CaptureError, Ladder, Limits, trace_file};

use crate::args::TraceArgs;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::output::{Output, narrate};
use crate::text::plain;

/// The largest file that is read, in bytes. A Teredo exchange of interest is much shorter.
const LARGEST: u64 = 512 * 1024 * 1024;

/// Reads the capture and prints the trace.
pub(crate) fn run(args: &TraceArgs, output: &mut Output) -> Result<Exit, Failure> {
    if let Some(out) = &args.svg {
        keep_capture(&args.file, out)?;
    }
    let bytes = read(&args.file)?;
    let trace =
        trace_file(&bytes, Limits::default()).map_err(|error| refused(&args.file, error))?;
    drop(bytes);
    if let Some(out) = &args.svg {
        let svg = Ladder::new(&trace).svg();
        if is_standard(out) {
            output.bytes(svg.as_bytes())?;
            return Ok(Exit::Done);
        }
        fs::write(out, svg).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}", named(out))).because(error)
        })?;
    }
    if args.json {
        output.json(&trace)?;
    } else {
        output.line(report::Report(&trace))?;
    }
    if let Some(out) = args.svg.as_ref().filter(|_| !args.json) {
        narrate(format_args!("the picture is in {}", named(out)));
    }
    Ok(Exit::Done)
}

/// Refuses to write the picture over the capture.
fn keep_capture(capture: &Path, out: &Path) -> Result<(), Failure> {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let of_input = if is_standard(capture) {
        rustix::fs::fstat(rustix::stdio::stdin())
            .ok()
            .map(|stat| (stat.st_dev, stat.st_ino))
    } else {
        fs::metadata(capture).ok().map(identity)
    };
    let of_output = fs::metadata(out)
        .ok()
        .filter(fs::Metadata::is_file)
        .map(identity);
    if is_standard(out) || of_output.is_none() || of_input != of_output {
        return Ok(());
    }
    let fault = format!("{} is the capture itself", named(out));
    Err(Failure::new(Exit::Failed, fault).hint("give the picture another name"))
}

/// The bytes of the file; of standard input if it is `-`. A pipe is read until it ends or Ctrl-C ends it.
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
    let is_pipe = || fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    if is_standard(path) {
        if io::stdin().is_terminal() {
            return Err(Failure::new(Exit::Failed, "standard input is a terminal")
                .hint("'tcpdump -w - udp | teredo trace -' reads what tcpdump captures"));
        }
        return live::read(live::Source::StandardInput, LARGEST).map_err(failed);
    }
    if is_pipe() {
        return live::read(live::Source::Pipe(path.to_owned()), LARGEST).map_err(failed);
    }
    file::read(path, LARGEST).map_err(failed)
}

fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

fn shown(path: &Path) -> String {
    if is_standard(path) {
        String::from("standard input")
    } else {
        named(path)
    }
}

/// The name of a file for a terminal, which it must not drive.
fn named(path: &Path) -> String {
    plain(&path.display().to_string())
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
