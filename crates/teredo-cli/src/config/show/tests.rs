use super::*;
use crate::config::{Config, keys, sections};

/// A key that is missing here would be hidden from those who ask.
#[test]
fn every_key_is_shown_and_no_other() {
    let config = Config::default();
    let roles = Role::value_variants();
    let names: Vec<_> = roles.iter().map(|&role| name(role)).collect();
    assert_eq!(names, sections());
    for &role in roles {
        let mut shown: Vec<_> = rows(role, &config, &Environment::default())
            .iter()
            .map(|row| row.key)
            .collect();
        let mut known = keys(name(role));
        shown.sort_unstable();
        known.sort_unstable();
        assert_eq!(shown, known, "[{}]", name(role));
    }
}

#[test]
fn the_defaults_are_those_of_the_daemons() {
    let config = Config::default();
    for (role, key, text) in [
        (Role::Client, "servers", "none, but required"),
        (Role::Client, "refresh_interval", "8"),
        (Role::Client, "native_ipv6", "dormant"),
        (Role::Client, "default_route", "true"),
        (Role::Server, "relay_rate", "256"),
        (Role::Server, "relay_total", "0"),
        (Role::Server, "advertisement_rate", "10000"),
        (Role::Relay, "port", "3545"),
        (Role::Firewall, "lease", "15"),
        (Role::Firewall, "set", "none: the table 'inet teredo'"),
    ] {
        let rows = rows(role, &config, &Environment::default());
        let row = rows.iter().find(|row| row.key == key).expect(key);
        assert_eq!(row.text(), text, "{key}");
        assert_eq!(row.source, rows::DEFAULT, "{key}");
    }
}

#[test]
fn columns_are_aligned_and_a_wide_value_moves_nothing_else() {
    let row = |key, value: &str, source: &str| Row {
        key,
        value: Value::from(value),
        none: "none",
        source: source.to_owned(),
    };
    let wide = "x".repeat(60);
    let shown = Shown {
        files: Vec::new(),
        sections: vec![Section {
            name: "client",
            rows: vec![
                row("port", "1", "default"),
                row("interface", "teredo", "/f:1"),
                row("deny", &wide, "/f:2"),
            ],
        }],
    };
    let text = anstream::adapter::strip_str(&shown.to_string()).to_string();
    assert_eq!(
        text,
        format!(
            "[client]\nport       1       default\ninterface  teredo  /f:1\ndeny       {wide}  /f:2"
        )
    );
}
