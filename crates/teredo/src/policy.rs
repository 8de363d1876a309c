//! IPv4 addresses that nothing may be sent to (RFC 4380 §5.2.4).
