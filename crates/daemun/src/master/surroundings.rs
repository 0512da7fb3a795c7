//! What nginx's main context makes of a worker's process: limits, priority, processors, environment. As there, what
//! cannot be had is told, and the worker goes on without.

use http::config::main::{Affinity, CpuMask, Main};
use nix::sys::resource::{Resource, setrlimit};

use crate::error_log::ErrorLog;
use crate::error_log::Level;
use crate::nginx::keeps;
use crate::sys::{self, cpus, with_code};

fn alert(log: &ErrorLog, what: &str, error: &std::io::Error) {
    log.log(Level::Alert, format_args!("{what} failed ({})", with_code(error)));
}

/// What needs root's rights: priority and limits.
pub fn limits(main: &Main, log: &ErrorLog) {
    if main.worker_priority != 0
        && let Err(error) = sys::set_priority(main.worker_priority)
    {
        alert(log, &format!("setpriority({})", main.worker_priority), &error);
    }
    let limits = [
        (Resource::RLIMIT_NOFILE, "NOFILE", main.worker_rlimit_nofile),
        (Resource::RLIMIT_CORE, "CORE", main.worker_rlimit_core),
    ];
    for (resource, name, limit) in limits {
        if let Some(limit) = limit
            && let Err(error) = setrlimit(resource, limit, limit)
        {
            alert(log, &format!("setrlimit(RLIMIT_{name}, {limit})"), &error.into());
        }
    }
}

/// Binds the worker to its processors.
pub fn processors(main: &Main, seat: usize, log: &ErrorLog) {
    let Some(chosen) = choose(&main.worker_cpu_affinity, seat, &cpus::allowed()) else { return };
    if let Err(error) = cpus::bind(&chosen) {
        alert(log, "sched_setaffinity()", &error);
    }
}

/// The processors of a worker; `None`: all.
fn choose(affinity: &Affinity, seat: usize, allowed: &[usize]) -> Option<Vec<usize>> {
    let within = |mask: &CpuMask, cpu: usize| mask.get(cpu / 64).is_some_and(|word| word & (1 << (cpu % 64)) != 0);
    match affinity {
        Affinity::None => None,
        Affinity::Auto(mask) => {
            let usable = |cpu: &usize| mask.as_ref().is_none_or(|mask| within(mask, *cpu));
            let usable: Vec<usize> = allowed.iter().copied().filter(usable).collect();
            (!usable.is_empty()).then(|| vec![usable[seat % usable.len()]])
        }
        Affinity::Masks(masks) => {
            let mask = masks.get(seat).or(masks.last())?;
            Some((0..mask.len() * 64).filter(|cpu| within(mask, *cpu)).collect())
        }
    }
}

/// Leaves in the environment what workers keep, and adds what `env` gives them.
pub fn environment(main: &Main) {
    for (name, _) in std::env::vars_os() {
        let named = |name: &str| main.env.iter().any(|(other, _)| other == name);
        // A name that cannot be written in the configuration is not kept either.
        if !name.to_str().is_some_and(|name| keeps(name) || named(name)) {
            sys::set_variable(&name, None);
        }
    }
    for (name, value) in &main.env {
        if let Some(value) = value {
            sys::set_variable(name, Some(value.as_ref()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_gets_its_processors() {
        let allowed = [0, 1, 4, 5];
        let auto = |mask: Option<CpuMask>, seat| choose(&Affinity::Auto(mask), seat, &allowed);
        assert_eq!(choose(&Affinity::None, 0, &allowed), None);
        assert_eq!((auto(None, 2), auto(None, 5)), (Some(vec![4]), Some(vec![1])));
        assert_eq!((auto(Some(vec![0b11_0000]), 0), auto(Some(vec![0b100]), 0)), (Some(vec![4]), None));
        let masks = Affinity::Masks(vec![vec![0b01], vec![0b110]]);
        assert_eq!(choose(&masks, 0, &allowed), Some(vec![0]));
        assert_eq!(choose(&masks, 7, &allowed), Some(vec![1, 2]), "the last one goes for all others");
    }
}
