//! Objects on their way into the kernel.

use std::sync::{Mutex, PoisonError};

use aya::{Ebpf, EbpfError, EbpfLoader};

/// The library's loader. To make one reads all types of the kernel, which takes 20 to 150 ms, and nothing here needs them. So
/// a process makes one, and loads all objects with it.
static LOADER: Mutex<Option<EbpfLoader<'static>>> = Mutex::new(None);

/// Loads an object, with so many peers if it has a map of them.
pub(crate) fn load(object: &[u8], most_peers: u32) -> Result<Ebpf, EbpfError> {
    let mut loader = LOADER.lock().unwrap_or_else(PoisonError::into_inner);
    let loader = loader.get_or_insert_with(|| {
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        loader
    });
    loader.map_max_entries("peers", most_peers).load(object)
}
