#![allow(dead_code)]
#[path = "e2e/death.rs"]
mod death;
#[path = "e2e/world.rs"]
mod world;
