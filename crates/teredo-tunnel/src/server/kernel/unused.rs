//! Why an open path has answered nothing.

use teredo_bpf::ServerOutcome;

use super::OutcomeCounts;

/// The most frequent reason, in words, if datagrams have come and none was answered in the kernel. The counts are those since the
/// path was opened; so many solicitations more came by another interface.
pub(super) fn reason(counts: &OutcomeCounts, other_interface: u64) -> Option<&'static str> {
    let count = |outcome: ServerOutcome| counts[outcome as usize];
    if count(ServerOutcome::Answered) > 0 {
        return None;
    }
    let solicitations = ServerOutcome::ALL
        .into_iter()
        .filter(|&outcome| outcome != ServerOutcome::NotSolicitation);
    let most = solicitations
        .filter(|&outcome| count(outcome) > 0)
        .max_by_key(|&outcome| count(outcome));
    if other_interface > most.map_or(0, count) {
        return Some(
            "solicitations arrive by another interface than that of the server's address, and there the kernel answers none",
        );
    }
    // Bubbles are user space's, too, so they explain nothing if there are solicitations.
    let others = Some(ServerOutcome::NotSolicitation).filter(|&outcome| count(outcome) > 0);
    most.or(others).and_then(words)
}

fn words(outcome: ServerOutcome) -> Option<&'static str> {
    Some(match outcome {
        ServerOutcome::Answered | ServerOutcome::Closed => return None,
        ServerOutcome::Unproven | ServerOutcome::Sample => {
            "solicitations are rare, or a filter drops them or their answers: each one asks the stack"
        }
        ServerOutcome::NotHere => {
            "solicitations arrive for another hardware address than that of the interface, or the address is on none"
        }
        ServerOutcome::NotSolicitation => {
            "no plain solicitation has arrived: bubbles, secrets, trailers and IP options are left to user space"
        }
        ServerOutcome::Checksum => {
            "solicitations arrive with unfinished checksums, as a virtual link (veth) hands them on, or wrong ones"
        }
        ServerOutcome::Source => {
            "solicitations come from refused networks, or the route to their source leaves by another interface"
        }
        ServerOutcome::NoSecondary => {
            "the answers come from the secondary address, which is on another interface"
        }
        ServerOutcome::Limited => "solicitations exceed the limit of advertisements to one address",
        ServerOutcome::NoRoom => "the interface leaves no room for answers in the frames",
        _ => "the programs leave the solicitations to user space",
    })
}

#[cfg(test)]
mod tests;
