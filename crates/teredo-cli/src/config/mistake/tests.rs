use super::*;

fn unknown(line: usize) -> Mistake {
    Mistake::UnknownKey {
        place: Place {
            file: PathBuf::from("/f"),
            line,
        },
        section: Some(String::from("client")),
        key: String::from("prot"),
        known: vec![String::from("port")],
        elsewhere: Vec::new(),
    }
}

fn reported(list: Vec<Mistake>, chosen: Option<&Path>) -> (Exit, String) {
    let mut mistakes = Mistakes::of(chosen);
    mistakes.extend(list);
    let failure = Failure::from(mistakes);
    let mut bytes = Vec::new();
    failure.report(anstream::StripStream::new(&mut bytes));
    (failure.exit(), String::from_utf8(bytes).expect("text"))
}

#[test]
fn one_mistake_is_a_line_and_a_hint() {
    let said = "teredo: /f:3: unknown key 'prot'\nhint: did you mean 'port'?\n";
    assert_eq!(
        reported(vec![unknown(3)], None),
        (Exit::Failed, said.to_owned())
    );
}

/// The hint names the command with the file, so that it can be typed as it is.
#[test]
fn several_mistakes_are_a_list() {
    let (exit, said) = reported(vec![unknown(3), unknown(5)], Some(Path::new("/f")));
    assert_eq!(exit, Exit::Failed);
    assert_eq!(
        said,
        "teredo: 2 mistakes in the settings:\n\
         /f:3: unknown key 'prot'; did you mean 'port'?\n\
         /f:5: unknown key 'prot'; did you mean 'port'?\n\
         hint: correct each of these, then try 'teredo config check /f'\n"
    );
}

/// Scripts know the code 2 for keys that contradict each other.
#[test]
fn conflicts_alone_are_a_wrong_usage() {
    let conflict = || Mistake::Conflict {
        place: None,
        conflict: Conflict::HostServes,
    };
    assert_eq!(reported(vec![conflict()], None).0, Exit::Usage);
    assert_eq!(reported(vec![conflict(), conflict()], None).0, Exit::Usage);
    assert_eq!(reported(vec![conflict(), unknown(1)], None).0, Exit::Failed);
}
