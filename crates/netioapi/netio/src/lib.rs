//! `libteredo-netio`: the port notification functions as drivers call them. They return NTSTATUS.

netioapi::export!(netioapi::Driver);
