//! Cases that need a closer look than the simulated internet gives; the rest is in `tests/`.
