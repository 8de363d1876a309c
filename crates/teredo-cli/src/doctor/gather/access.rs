//! Whether the users of the units may open the files that these need. What root may read, they may not always.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::args::DEFAULT_CONFIG;
use crate::config;
use crate::doctor::seen::{Closed, FileKind, Seen, Unit, Units};

/// The permissions of a file for one class of users.
const READ: u32 = 4;
const WRITE: u32 = 2;
const SEARCH: u32 = 1;

/// The user and the groups of a unit.
#[derive(Clone, Debug)]
struct Account {
    uid: u32,
    gids: Vec<u32>,
    /// The permissions that it needs of no file (capabilities(7)).
    exempt: u32,
}

/// The permissions that these capabilities make up for.
fn exempted(capabilities: &str) -> u32 {
    let of_one = |name| match name {
        "cap_dac_override" => READ | WRITE | SEARCH,
        "cap_dac_read_search" => READ | SEARCH,
        _ => 0,
    };
    let all = capabilities.split_whitespace().map(of_one);
    all.fold(0, |all, one| all | one)
}

impl Account {
    /// The account of a unit that does not run as root. The user of a dynamic unit may not exist yet, and owns no file.
    fn of(unit: &Unit) -> Option<Self> {
        const NOBODY: u32 = 65_534;
        if unit.user.is_empty() || unit.user == "root" || unit.user == "0" {
            return None;
        }
        let user = User::from_name(&unit.user).ok().flatten();
        let uid = user.as_ref().map_or(NOBODY, |user| user.uid.as_raw());
        let named = std::iter::once(unit.group.as_str()).chain(unit.groups.split_whitespace());
        let mut gids: Vec<u32> = named
            .filter_map(|name| Group::from_name(name).ok().flatten())
            .map(|group| group.gid.as_raw())
            .collect();
        if let (Some(user), Ok(name)) = (&user, CString::new(unit.user.as_str())) {
            let all = getgrouplist(&name, user.gid).unwrap_or_default();
            gids.extend(all.iter().map(|gid| gid.as_raw()));
        }
        (uid != 0).then(|| Self {
            uid,
            gids,
            exempt: exempted(&unit.ambient),
        })
    }

    /// Whether the permission bits let this account do all of `wanted` (path_resolution(7)).
    fn may(&self, mode: u32, owner: [u32; 2], wanted: u32) -> bool {
        let wanted = wanted & !self.exempt;
        let class = if owner[0] == self.uid {
            6
        } else if self.gids.contains(&owner[1]) {
            3
        } else {
            0
        };
        (mode >> class) & wanted == wanted
    }

    /// The file or the folder above it that is closed to this account, with its mode and owner. None: it may open the
    /// file, or that cannot be told.
    fn stopped_at(&self, file: &Path, wanted: u32) -> Option<(PathBuf, u32, [u32; 2])> {
        let mut path: Vec<_> = file.ancestors().collect();
        path.reverse();
        let last = path.len().checked_sub(1)?;
        path.iter().enumerate().find_map(|(index, part)| {
            let metadata = fs::metadata(part).ok()?;
            let owner = [metadata.uid(), metadata.gid()];
            let wanted = if index == last { wanted } else { SEARCH };
            let open = self.may(metadata.mode(), owner, wanted) || has_list(part);
            (!open).then(|| (part.to_path_buf(), metadata.mode() & 0o7777, owner))
        })
    }
}

/// Whether the file has an access control list, which the permission bits do not show (acl(5)).
fn has_list(file: &Path) -> bool {
    rustix::fs::getxattr_query(file, "system.posix_acl_access").is_ok_and(|size| size > 0)
}

pub(super) fn look(seen: &Seen) -> Vec<Closed> {
    let Units::Known(units) = &seen.units else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for unit in units {
        let is_meant =
            unit.file == "enabled" || matches!(&*unit.active, "active" | "activating" | "failed");
        let Some(account) = Account::of(unit).filter(|_| is_meant) else {
            continue;
        };
        for (file, kind, wanted) in files(seen, unit) {
            if let Some((at, mode, owner)) = account.stopped_at(&file, wanted) {
                found.push(Closed {
                    unit: unit.short().to_owned(),
                    user: unit.user.clone(),
                    group: unit.group.clone(),
                    file,
                    kind,
                    at,
                    mode,
                    owner: names(owner),
                });
            }
        }
    }
    found
}

fn names([uid, gid]: [u32; 2]) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    format!(
        "{}:{}",
        user.map_or_else(|| uid.to_string(), |user| user.name),
        group.map_or_else(|| gid.to_string(), |group| group.name)
    )
}

/// The files that a unit opens as its user, and what it wants to do with each.
fn files(seen: &Seen, unit: &Unit) -> Vec<(PathBuf, FileKind, u32)> {
    let name = unit.short();
    let (daemon, main) = match name.split_once('@') {
        Some((daemon, instance)) => (daemon, format!("/etc/teredo/{instance}.toml").into()),
        None => (name, PathBuf::from(DEFAULT_CONFIG)),
    };
    let settings = &seen.settings;
    let are_its = settings.chosen.as_ref().is_none_or(|file| *file == main);
    let mut files = of_settings(main);
    let secrets = match daemon {
        "teredo-client" => settings.client.secret_file.clone(),
        "teredo-server" => settings.server_secrets.clone(),
        _ => None,
    };
    let secrets = secrets.filter(|_| are_its);
    files.extend(secrets.map(|file| (file, FileKind::Secrets, READ)));
    if matches!(daemon, "teredo-client" | "teredo-relay") {
        files.push((PathBuf::from("/dev/net/tun"), FileKind::Tun, READ | WRITE));
    }
    files
}

/// The file of settings, the folder of its drop-ins, and these.
fn of_settings(main: PathBuf) -> Vec<(PathBuf, FileKind, u32)> {
    let folder = PathBuf::from(format!("{}.d", main.display()));
    let drop_ins = config::drop_ins(&folder).unwrap_or_default();
    let drop_ins = drop_ins.into_iter().map(|file| (file, READ));
    [(main, READ), (folder, READ | SEARCH)]
        .into_iter()
        .chain(drop_ins)
        .map(|(file, wanted)| (file, FileKind::Settings, wanted))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn account(uid: u32, gids: &[u32]) -> Account {
        Account {
            uid,
            gids: gids.to_vec(),
            exempt: 0,
        }
    }

    /// The first class that fits decides, even if another one would allow more.
    #[test]
    fn one_class_decides() {
        let teredo = account(990, &[990]);
        for (mode, owner, wanted, may) in [
            (0o600, [0, 0], READ, false),
            (0o644, [0, 0], READ, true),
            (0o640, [0, 990], READ, true),
            (0o604, [0, 990], READ, false),
            (0o400, [990, 0], READ, true),
            (0o666, [0, 0], READ | WRITE, true),
            (0o644, [0, 0], READ | WRITE, false),
            (0o750, [0, 0], SEARCH, false),
        ] {
            assert_eq!(teredo.may(mode, owner, wanted), may, "{mode:o} {owner:?}");
        }
    }

    #[test]
    fn a_folder_above_the_file_may_be_closed() {
        let folder = tempfile::tempdir().unwrap();
        let (closed, file) = (folder.path().join("d"), folder.path().join("d/teredo.toml"));
        fs::create_dir(&closed).unwrap();
        fs::write(&file, "").unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(folder.path(), 0o755);
        let other = account(4_000_000, &[4_000_000]);
        for (of_folder, of_file, at) in [
            (0o755, 0o644, None),
            (0o750, 0o644, Some(&closed)),
            (0o755, 0o640, Some(&file)),
        ] {
            set(&closed, of_folder);
            set(&file, of_file);
            let found = other.stopped_at(&file, READ).map(|(path, ..)| path);
            assert_eq!(found.as_ref(), at);
        }
        // It is not there, so nothing is closed.
        assert!(other.stopped_at(&closed.join("none"), READ).is_none());
    }

    /// Only capabilities in effect open a file. Those that the bounding set leaves are none for a user who is not root.
    #[test]
    fn capabilities_in_effect_open_files() {
        let unit = |ambient: &str| Unit {
            user: "nobody".to_owned(),
            capabilities: Some("cap_dac_override cap_dac_read_search cap_net_admin".to_owned()),
            ambient: ambient.to_owned(),
            ..Unit::default()
        };
        for (ambient, wanted, may) in [
            ("", READ, false),
            ("cap_net_admin cap_net_raw", READ, false),
            ("cap_net_admin cap_dac_read_search", READ | SEARCH, true),
            ("cap_dac_read_search", READ | WRITE, false),
            ("cap_dac_override", READ | WRITE, true),
        ] {
            let account = Account::of(&unit(ambient)).unwrap();
            assert_eq!(account.may(0o600, [0, 0], wanted), may, "{ambient}");
        }
    }

    /// An editor may leave such files beside the drop-ins.
    #[test]
    fn hidden_files_are_no_settings() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("teredo.toml");
        let drop_ins = folder.path().join("teredo.toml.d");
        fs::create_dir(&drop_ins).unwrap();
        for name in ["10-own.toml", ".10-own.toml", "10-own.toml~"] {
            fs::write(drop_ins.join(name), "").unwrap();
        }
        let found = of_settings(main.clone()).into_iter().map(|(file, ..)| file);
        let expected = [main, drop_ins.clone(), drop_ins.join("10-own.toml")];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    /// An access control list may have more entries than a kibibyte holds.
    #[test]
    fn a_long_list_is_a_list() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!has_list(file.path()));
        for users in [1, 200] {
            let list = list(users);
            let name = "system.posix_acl_access";
            rustix::fs::setxattr(file.path(), name, &list, rustix::fs::XattrFlags::empty())
                .expect("a file system with access control lists");
            assert!(has_list(file.path()), "{users}");
        }
    }

    /// The bytes of a list (`linux/posix_acl_xattr.h`) that lets some users read.
    fn list(users: u32) -> Vec<u8> {
        const VERSION: u32 = 2;
        const USER_OBJ: u16 = 0x01;
        const USER: u16 = 0x02;
        const GROUP_OBJ: u16 = 0x04;
        const MASK: u16 = 0x10;
        const OTHER: u16 = 0x20;
        let entry = |tag: u16, id: u32| {
            let permissions: u16 = 4;
            [
                &tag.to_le_bytes()[..],
                &permissions.to_le_bytes(),
                &id.to_le_bytes(),
            ]
            .concat()
        };
        let object = |tag| entry(tag, u32::MAX);
        let named = (1..=users).flat_map(|id| entry(USER, id));
        let mut bytes = [VERSION.to_le_bytes().to_vec(), object(USER_OBJ)].concat();
        bytes.extend(named);
        bytes.extend([GROUP_OBJ, MASK, OTHER].into_iter().flat_map(object));
        bytes
    }
}
