use teredo_gateway::{Protocol, Wanted};

use super::*;

fn mapping() -> Mapping {
    let wanted = Wanted {
        gateway: [192, 168, 1, 1].into(),
        local: "192.168.1.7:40000".parse().expect("an address"),
    };
    Mapping {
        nonce: Some([1, u32::MAX, 3]),
        lifetime: Some(1200),
        ..Mapping::intended(wanted, Protocol::NatPmp)
    }
}

/// R6081-5.3.3-04: the mapping is remembered until it is taken back, with all that this needs.
#[test]
fn the_next_process_finds_the_mapping() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mapping-teredo.json");
    let file = || MappingFile::at(Some(path.clone()));
    assert_eq!(file().load(), None);
    file().save(&mapping());
    assert_eq!(file().load(), Some(mapping()));
    file().clear();
    assert_eq!(file().load(), None);
    file().clear();
}

#[test]
fn a_damaged_file_and_one_of_another_version_are_not_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mapping-teredo.json");
    let mut file = MappingFile::at(Some(path.clone()));
    file.save(&mapping());
    let text = fs::read_to_string(&path).expect("a file");
    for damaged in [
        String::new(),
        text[..text.len() / 2].to_owned(),
        text.replace("mapping/1", "mapping/2"),
        text.replace("nat-pmp", "nat-pnp"),
    ] {
        fs::write(&path, &damaged).expect("written");
        assert_eq!(file.load(), None, "{damaged}");
    }
}

#[test]
fn without_a_folder_nothing_is_remembered() {
    let mut file = MappingFile::at(None);
    file.save(&mapping());
    assert_eq!(file.load(), None);
    file.clear();
}
