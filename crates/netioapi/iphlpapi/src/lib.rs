//! `libteredo-iphlpapi`: the port notification functions as programs call them. They return Win32 errors.

netioapi::export!(netioapi::Program);
