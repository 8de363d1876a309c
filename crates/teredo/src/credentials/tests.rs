use super::*;

fn credentials(name: &str) -> Arc<Credentials> {
    Arc::new(Credentials {
        identifier: Identifier::new(name.as_bytes()).unwrap(),
        secret: Secret::new(b"a secret that nobody may see"),
    })
}

#[test]
fn an_identifier_has_one_to_255_bytes() {
    assert_eq!(Identifier::new(&[]), None);
    assert_eq!(Identifier::new(&[1; 256]), None);
    assert_eq!(Identifier::new(&[1; 255]).unwrap().as_bytes(), [1; 255]);
}

/// Status, logs and panics use `Debug`.
#[test]
fn nothing_prints_a_secret() {
    let mut keyring = Keyring::default();
    keyring.set_everywhere(credentials("alice"));
    let mut clients = KnownClients::default();
    let Credentials { identifier, secret } = credentials("b\nob").as_ref().clone();
    clients.insert(
        identifier,
        KnownClient {
            secret,
            retired: true,
        },
    );
    let printed = format!("{keyring:?} {clients:?}");
    assert!(
        printed.contains("Secret(..)") && printed.contains(r"b\nob"),
        "{printed}"
    );
    for part in ["a secret", "nobody", "97, 32, 115"] {
        assert!(!printed.contains(part), "{printed}");
    }
}

#[test]
fn a_server_of_its_own_goes_first() {
    let (one, other) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 17));
    let name = |keyring: &Keyring, server| {
        keyring
            .get(server)
            .map(|found| found.identifier.to_string())
    };
    let mut keyring = Keyring::default();
    assert_eq!(name(&keyring, one), None);
    keyring.set(one, credentials("bob"));
    assert_eq!(
        (name(&keyring, one), name(&keyring, other)),
        (Some("bob".into()), None)
    );
    keyring.set_everywhere(credentials("alice"));
    assert_eq!(
        (name(&keyring, one), name(&keyring, other)),
        (Some("bob".into()), Some("alice".into()))
    );
}
