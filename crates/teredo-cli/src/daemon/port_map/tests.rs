use super::*;

#[test]
fn each_socket_has_a_map_of_its_own() {
    let pin = |socket: &str, folder: Option<&str>| {
        let pin = pin_of(Path::new(socket), folder.map(Path::new))?;
        Some(pin.to_str().unwrap().to_owned())
    };
    for (socket, usual, elsewhere) in [
        (
            "/run/teredo/teredo.sock",
            Some("/sys/fs/bpf/teredo/port"),
            "/tmp/bpf/port",
        ),
        (
            "/run/teredo/home.sock",
            Some("/sys/fs/bpf/teredo/home/port"),
            "/tmp/bpf/home/port",
        ),
        ("/srv/teredo.sock", None, "/tmp/bpf/port"),
        ("home.sock", None, "/tmp/bpf/home/port"),
    ] {
        assert_eq!(pin(socket, None).as_deref(), usual, "{socket}");
        let moved = pin(socket, Some("/tmp/bpf"));
        assert_eq!(moved.as_deref(), Some(elsewhere), "{socket}");
    }
}
