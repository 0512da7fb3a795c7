//! Users and groups: whether this process may change to them, and the change.

use std::ffi::CString;

use nix::unistd::{self, Gid, Uid, User};

use crate::settings::Settings;

/// Whom the workers run as. What is `None` stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: Option<Uid>,
    group: Option<Gid>,
    /// The user's name, to give the workers all its groups.
    groups_of: Option<CString>,
}

impl Identity {
    /// Whom the settings ask for. A user without a group comes with its own group: root's would be too much.
    pub fn of(settings: &Settings) -> Identity {
        let user = settings.user.map(Uid::from_raw).filter(|user| *user != unistd::geteuid());
        let account = user.and_then(|user| User::from_uid(user).ok().flatten());
        let own_group = account.as_ref().map(|account| account.gid);
        let group = settings.group.map(Gid::from_raw).or(own_group).filter(|group| *group != unistd::getegid());
        let groups_of = account.filter(|_| settings.initgroups).and_then(|account| CString::new(account.name).ok());
        Identity { user, group, groups_of }
    }

    /// Nobody else: the process stays what it is.
    pub fn same() -> Identity {
        Identity { user: None, group: None, groups_of: None }
    }

    /// What keeps this process from changing, if anything does.
    pub fn obstacle(&self, settings: &Settings) -> Option<String> {
        let name = match self {
            Identity { user: None, group: None, .. } => return None,
            _ if unistd::geteuid().is_root() => return None,
            Identity { user: Some(_), .. } => "user",
            _ => "group",
        };
        Some(format!("{}: only root can change to another {name}", settings.place(name)))
    }

    /// Whom files and sockets that are made for the workers must belong to.
    pub fn owner(&self) -> (Option<u32>, Option<u32>) {
        (self.user.map(Uid::as_raw), self.group.map(Gid::as_raw))
    }

    /// Changes. There is no way back. The groups go first, because the user may not change them any more.
    pub fn assume(&self) -> Result<(), String> {
        let failed =
            |what: &'static str| move |error: nix::Error| format!("cannot change the {what}: {}", error.desc());
        if self.user.is_some() || self.group.is_some() {
            let group = self.group.unwrap_or_else(unistd::getegid);
            match &self.groups_of {
                Some(name) => unistd::initgroups(name, group).map_err(failed("groups"))?,
                None if unistd::geteuid().is_root() => unistd::setgroups(&[group]).map_err(failed("groups"))?,
                None => {}
            }
        }
        if let Some(group) = self.group {
            unistd::setgid(group).map_err(failed("group"))?;
        }
        if let Some(user) = self.user {
            unistd::setuid(user).map_err(failed("user"))?;
        }
        Ok(())
    }
}
