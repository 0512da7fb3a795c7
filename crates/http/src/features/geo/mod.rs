//! The table of a `geo`: from an address to a value.
//!
//! It is filled line by line, as networks or, after `ranges`, as ranges of IPv4 addresses, and then made ready for
//! searches: a sorted list of the addresses at which the value changes. A hundred thousand networks are nothing special.

mod directives;
mod ranges;
mod segments;
#[cfg(test)]
mod tests;

pub use directives::{ROWS, Variable};

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use wire::cidr::Cidr;

use ranges::Ranges;
use segments::Segments;

/// The table, ready for searches.
#[derive(Default)]
pub struct Geo {
    values: Box<[Box<str>]>,
    v4: Segments<u32>,
    v6: Segments<u128>,
    /// The value of whoever is in no range.
    default: Option<u32>,
    proxies: Box<[Cidr]>,
    proxy_recursive: bool,
}

impl Geo {
    /// The value for a client. `None` is one without an IP address, or a text that is none: nginx takes it for
    /// 255.255.255.255. An IPv4 address in IPv6 clothes is the IPv4 address.
    pub fn find(&self, address: Option<IpAddr>) -> &str {
        let index = match address.unwrap_or(Ipv4Addr::BROADCAST.into()).to_canonical() {
            IpAddr::V4(address) => self.v4.find(address.into()),
            IpAddr::V6(address) => self.v6.find(address.into()),
        };
        index.or(self.default).map_or("", |index| &self.values[index as usize])
    }

    /// The proxies whose `X-Forwarded-For` names the client.
    pub fn proxies(&self) -> &[Cidr] {
        &self.proxies
    }

    /// Whether `X-Forwarded-For` is read from its end until an address is no proxy.
    pub fn proxy_recursive(&self) -> bool {
        self.proxy_recursive
    }
}

/// The table while it is filled. Each line gives warnings, or an error in nginx's words.
#[derive(Default)]
pub struct Builder {
    values: Vec<Box<str>>,
    known: HashMap<Box<str>, u32>,
    networks: HashMap<Cidr, u32>,
    ranges: Option<Ranges>,
    default: Option<u32>,
    proxies: Vec<Cidr>,
    proxy_recursive: bool,
}

impl Builder {
    /// `ranges;`
    pub fn ranges(&mut self) -> Result<(), String> {
        if !self.networks.is_empty() {
            return Err("the \"ranges\" directive must be the first directive inside \"geo\" block".to_owned());
        }
        self.ranges.get_or_insert_default();
        Ok(())
    }

    /// `proxy_recursive;`
    pub fn proxy_recursive(&mut self) {
        self.proxy_recursive = true;
    }

    /// `proxy NETWORK;`
    pub fn proxy(&mut self, text: &str) -> Result<Vec<String>, String> {
        let (network, warnings) = network(text)?;
        self.proxies.push(network);
        Ok(warnings)
    }

    /// `default VALUE;`
    pub fn set_default(&mut self, value: &str) -> Result<Vec<String>, String> {
        let index = self.intern(value);
        let old = self.default.replace(index).map(|old| self.value(old).to_owned());
        if self.ranges.is_some() {
            let told = |old| format!("duplicate default geo range value: \"{value}\", old value: \"{old}\"");
            return Ok(old.map(told).into_iter().collect());
        }
        let mut warnings = Vec::new();
        for everyone in ["0.0.0.0/0", "::/0"] {
            let (network, _) = network(everyone)?;
            warnings.extend(self.put(network, index, "default"));
        }
        warnings.dedup();
        Ok(warnings)
    }

    /// `NETWORK VALUE;` or `FIRST-LAST VALUE;`
    pub fn add(&mut self, text: &str, value: &str) -> Result<Vec<String>, String> {
        let index = self.intern(value);
        if let Some(ranges) = &mut self.ranges {
            let (first, last) = range(text)?;
            let mut warnings = Vec::new();
            for old in ranges.add(text, first, last, index)? {
                warnings.push(duplicate("range", text, value, self.value(old)));
            }
            warnings.dedup();
            return Ok(warnings);
        }
        let (network, mut warnings) = network(text)?;
        warnings.extend(self.put(network, index, text));
        Ok(warnings)
    }

    /// `delete NETWORK;` or `delete FIRST-LAST;`
    pub fn delete(&mut self, text: &str) -> Result<Vec<String>, String> {
        if let Some(ranges) = &mut self.ranges {
            let (first, last) = range(text)?;
            let all = ranges.delete(first, last);
            let warning = (!all).then(|| format!("no address range \"{text}\" to delete"));
            return Ok(warning.into_iter().collect());
        }
        let (network, mut warnings) = network(text)?;
        if self.networks.remove(&network).is_none() {
            warnings.push(format!("no network \"{text}\" to delete"));
        }
        Ok(warnings)
    }

    /// The table as it is now.
    pub fn finish(self) -> Geo {
        let (v4, v6, default) = match self.ranges {
            Some(ranges) => (Segments::from_ranges(ranges.all()), Segments::default(), self.default),
            None => {
                let (mut v4, mut v6) = (Vec::new(), Vec::new());
                for (network, value) in self.networks {
                    match network.address() {
                        IpAddr::V4(first) => v4.push((u32::from(first), network.prefix(), value)),
                        IpAddr::V6(first) => v6.push((u128::from(first), network.prefix(), value)),
                    }
                }
                let last4 = |first, prefix: u8| first | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                let last6 = |first, prefix: u8| first | u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                (Segments::from_networks(v4, last4), Segments::from_networks(v6, last6), None)
            }
        };
        Geo {
            values: self.values.into(),
            v4,
            v6,
            default,
            proxies: self.proxies.into(),
            proxy_recursive: self.proxy_recursive,
        }
    }

    /// Stores the value of a network; gives a warning if it had one.
    fn put(&mut self, network: Cidr, index: u32, text: &str) -> Option<String> {
        let old = self.networks.insert(network, index)?;
        Some(duplicate("network", text, self.value(index), self.value(old)))
    }

    fn value(&self, index: u32) -> &str {
        &self.values[index as usize]
    }

    /// The index of a value: there are many networks, but few values.
    fn intern(&mut self, value: &str) -> u32 {
        if let Some(index) = self.known.get(value) {
            return *index;
        }
        let index = self.values.len() as u32;
        self.values.push(value.into());
        self.known.insert(value.into(), index);
        index
    }
}

fn duplicate(what: &str, text: &str, value: &str, old: &str) -> String {
    format!("duplicate {what} \"{text}\", value: \"{value}\", old value: \"{old}\"")
}

fn network(text: &str) -> Result<(Cidr, Vec<String>), String> {
    let (network, low) = Cidr::parse(text).map_err(|_| format!("invalid network \"{text}\""))?;
    Ok((network, if low { vec![format!("low address bits of {text} are meaningless")] } else { Vec::new() }))
}

fn range(text: &str) -> Result<(u32, u32), String> {
    let both = text.split_once('-').and_then(|(first, last)| Some((wire::cidr::ipv4(first)?, wire::cidr::ipv4(last)?)));
    match both {
        Some((first, last)) if first <= last => Ok((first.into(), last.into())),
        _ => Err(format!("invalid range \"{text}\"")),
    }
}
