//! The buckets of advertisements in memory that the program in the kernel takes its tokens from, too.

#![allow(unsafe_code, reason = "the memory is the kernel's")]

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use teredo::server::{AdvertisementBuckets, AdvertisementLimit};

/// The memory of the buckets.
type Buckets = [AtomicU64; AdvertisementLimit::BUCKETS];

const _: () = assert!(AdvertisementLimit::BUCKETS == teredo_bpf::BUCKETS);

/// A mapping of the kernel's array.
pub(super) struct SharedBuckets(NonNull<Buckets>);

// SAFETY: the memory is shared by nature, and all access to it is atomic.
unsafe impl Send for SharedBuckets {}
// SAFETY: as above.
unsafe impl Sync for SharedBuckets {}

impl SharedBuckets {
    /// Maps the array of [`teredo_bpf::Server::buckets`].
    pub(super) fn map(array: BorrowedFd<'_>) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses a free place for the new mapping. It refuses a length beyond that of the array.
        let place = unsafe {
            mmap(
                null_mut(),
                size_of::<Buckets>(),
                protection,
                MapFlags::SHARED,
                array,
                0,
            )
        }?;
        let place = NonNull::new(place.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self(place))
    }
}

impl AdvertisementBuckets for SharedBuckets {
    fn full_at(&self) -> &Buckets {
        // SAFETY: the mapping has this length, is aligned to a page, and lives as long as `self`. Any bytes are numbers, and others
        // change them atomically alone.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedBuckets {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from `self` any more.
        let unmapped = unsafe { munmap(self.0.as_ptr().cast(), size_of::<Buckets>()) };
        if let Err(error) = unmapped {
            tracing::error!(%error, "the buckets stay mapped");
        }
    }
}

impl fmt::Debug for SharedBuckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedBuckets")
    }
}
