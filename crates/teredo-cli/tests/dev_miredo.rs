#![allow(dead_code)]
#[path = "e2e/miredo.rs"]
mod miredo;
#[path = "e2e/world.rs"]
mod world;
