use super::*;

#[test]
fn waiting_for_a_disk_is_idle_and_what_the_host_keeps_is_not() {
    let times = Times::read("cpu  10 20 30 400 50 6 7 80 10 20\ncpu0 1 1 1 1\n");
    let expected = Times {
        all: 603,
        idle: 450,
    };
    assert_eq!(times, Some(expected));
    for odd in ["", "cpu", "cpu  1 2 3", "intr 1 2 3 4 5 6 7 8"] {
        assert_eq!(Times::read(odd), None, "{odd}");
    }
}

#[test]
fn a_machine_in_use_is_refused_unless_forced() {
    let mut machine = Machine::look().unwrap();
    machine.loaded = true;
    assert!(machine.refuse_if_loaded(false).is_err());
    assert!(machine.refuse_if_loaded(true).is_ok());
    assert!(machine.text().contains("IN USE"));
    machine.loaded = false;
    assert!(machine.refuse_if_loaded(false).is_ok());
    assert!(machine.text().contains(&machine.kernel));
}
