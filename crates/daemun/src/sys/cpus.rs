//! Processors: how many this process may use, and which ones a worker is bound to.

use std::io;
use std::path::{Path, PathBuf};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// How many processors this process may use: those it is allowed to run on, and no more than its control groups have
/// the time of (a part of one counts whole).
pub fn usable() -> usize {
    let allowed = allowed().len().max(1);
    let memberships = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    match quota(&memberships, Path::new("/sys/fs/cgroup")) {
        Some(quota) => allowed.min(quota.ceil().max(1.0) as usize),
        None => allowed,
    }
}

/// The numbers of the processors that this process may run on.
pub fn allowed() -> Vec<usize> {
    match sched_getaffinity(Pid::from_raw(0)) {
        Ok(set) => (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect(),
        Err(_) => (0..std::thread::available_parallelism().map_or(1, usize::from)).collect(),
    }
}

/// Binds this process to some processors.
pub fn bind(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// The smallest quota of a process's control groups, in processors. `memberships` is its `/proc/PID/cgroup`, `root` is
/// where the hierarchies are mounted.
fn quota(memberships: &str, root: &Path) -> Option<f64> {
    let mut least: Option<f64> = None;
    let mut note = |quota: Option<f64>| {
        if let Some(quota) = quota {
            least = Some(least.map_or(quota, |least| least.min(quota)));
        }
    };
    for line in memberships.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let path = path.trim_start_matches('/');
        if number == "0" && controllers.is_empty() {
            each_group(root, path, &mut |group| note(version_2(group)));
        } else if controllers.split(',').any(|controller| controller == "cpu") {
            for mount in [controllers, "cpu"] {
                each_group(&root.join(mount), path, &mut |group| note(version_1(group)));
            }
        }
    }
    least
}

/// A group and all those it stands in. In a container the path may be the host's, which is not mounted: then there is
/// only the root.
fn each_group(root: &Path, path: &str, visit: &mut dyn FnMut(&Path)) {
    let mut group: PathBuf = root.join(path);
    while group.starts_with(root) {
        visit(&group);
        if !group.pop() {
            return;
        }
    }
}

/// `cpu.max`: `QUOTA PERIOD`, or `max` for no limit.
fn version_2(group: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota.parse().ok()?, period.parse().ok()?)
}

/// `cpu.cfs_quota_us`, -1 for no limit, and `cpu.cfs_period_us`.
fn version_1(group: &Path) -> Option<f64> {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).ok()?.trim().parse::<f64>().ok();
    ratio(read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?)
}

fn ratio(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_quota_of_all_groups_counts() {
        let root = std::env::temp_dir().join(format!("daemun-cgroup-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/cpu.max", "150000 100000\n");
        write("a/b/cpu.max", "max 100000\n");
        write("cpu,cpuacct/x/cpu.cfs_quota_us", "300000\n");
        write("cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
        write("cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
        write("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
        assert_eq!(quota("0::/a/b\n", &root), Some(1.5));
        assert_eq!(quota("0::/elsewhere\n", &root), None);
        assert_eq!(quota("4:cpu,cpuacct:/x\n1:name=systemd:/a\n", &root), Some(3.0));
        assert_eq!(quota("", &root), None);
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn there_is_a_processor() {
        assert!(usable() >= 1 && usable() <= allowed().len());
    }
}
