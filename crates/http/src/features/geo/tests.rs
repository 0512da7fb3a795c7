//! What the table gives, and what its lines say.

use proptest::prelude::*;

use super::*;

/// Lines as in the file.
fn fill(lines: &str) -> Result<(Geo, Vec<String>), String> {
    let mut builder = Builder::default();
    let mut warnings = Vec::new();
    for line in lines.split(';') {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            ["ranges"] => builder.ranges()?,
            ["proxy_recursive"] => builder.proxy_recursive(),
            ["default", value] => warnings.extend(builder.set_default(value)?),
            ["delete", text] => warnings.extend(builder.delete(text)?),
            ["proxy", text] => warnings.extend(builder.proxy(text)?),
            [text, value] => warnings.extend(builder.add(text, value)?),
            _ => panic!("{line}"),
        }
    }
    Ok((builder.finish(), warnings))
}

fn check(lines: &str, cases: &[(&str, &str)]) {
    let (geo, _) = fill(lines).unwrap();
    for (address, value) in cases {
        assert_eq!(geo.find(address.parse().ok()), *value, "{lines}: {address}");
    }
}

#[test]
fn networks() {
    check(
        "default ZZ; 127.0.0.0/24 US; 127.0.0.1/32 RU; 10.1.0.0/16 RU; 192.168.1.0/24 UK; 2001:db8::/32 SIX; \
         2001:db8:1::/48 ONE; 127.0.0.255 LAST; 255.255.255.255 NOBODY",
        &[
            ("127.0.0.0", "US"),
            ("127.0.0.1", "RU"),
            ("127.0.0.2", "US"),
            ("127.0.0.254", "US"),
            ("127.0.0.255", "LAST"),
            ("127.0.1.0", "ZZ"),
            ("126.255.255.255", "ZZ"),
            ("10.1.255.255", "RU"),
            ("10.2.0.0", "ZZ"),
            ("::ffff:192.168.1.7", "UK"),
            ("2001:db8::1", "SIX"),
            ("2001:db8:1::1", "ONE"),
            ("2001:db8:2::", "SIX"),
            ("2001:db9::", "ZZ"),
            ("::", "ZZ"),
            ("unix:", "NOBODY"),
        ],
    );
    check("10.0.0.0/8 a", &[("10.1.1.1", "a"), ("11.0.0.0", ""), ("::1", ""), ("unix:", "")]);
    check("", &[("10.1.1.1", "")]);
    check("0.0.0.0/0 a; default b", &[("1.1.1.1", "b"), ("::", "b")]);
    check("default b; 0.0.0.0/0 a", &[("1.1.1.1", "a"), ("::", "b"), ("unix:", "a")]);
    check("10.0.0.0/8 a; 10.1.0.0/16 b; delete 10.1.0.0/16", &[("10.1.1.1", "a")]);
    check("255.0.0.0/8 a; ffff::/16 b", &[("255.255.255.255", "a"), ("ffff:ffff::", "b")]);
}

#[test]
fn ranges_of_addresses() {
    check(
        "ranges; default ZZ; 127.0.0.0-127.0.0.0 US; 10.1.0.0-10.3.0.9 RU; 10.2.5.0-10.2.5.255 IN; 10.2.5.7-10.2.5.7 SEVEN; \
         10.1.0.0-10.1.0.3 START; 010.009.000.000-10.9.0.1 ZEROS",
        &[
            ("127.0.0.0", "US"),
            ("127.0.0.1", "ZZ"),
            ("10.1.0.3", "START"),
            ("10.1.0.4", "RU"),
            ("10.2.4.255", "RU"),
            ("10.2.5.6", "IN"),
            ("10.2.5.7", "SEVEN"),
            ("10.2.5.8", "IN"),
            ("10.2.6.0", "RU"),
            ("10.3.0.9", "RU"),
            ("10.3.0.10", "ZZ"),
            ("10.9.0.1", "ZEROS"),
            ("::ffff:10.9.0.1", "ZEROS"),
            ("::", "ZZ"),
            ("unix:", "ZZ"),
        ],
    );
    check("ranges; 0.0.0.0-255.255.255.255 all", &[("0.0.0.0", "all"), ("255.255.255.255", "all"), ("::1", "")]);
    check("ranges; 1.0.0.0-1.0.0.9 a; delete 1.0.0.0-1.0.0.9", &[("1.0.0.5", "")]);
    // A piece that is there already is replaced; the other piece is new.
    check("ranges; 1.0.0.0-1.0.255.255 a; 1.0.0.0-1.1.255.255 b", &[("1.0.0.0", "b"), ("1.1.0.0", "b")]);
}

#[test]
fn proxies() {
    let (geo, _) = fill("proxy 10.0.0.0/8; proxy ::1; proxy_recursive").unwrap();
    assert!(geo.proxy_recursive());
    let texts: Vec<String> = geo.proxies().iter().map(|it| format!("{}/{}", it.address(), it.prefix())).collect();
    assert_eq!(texts, ["10.0.0.0/8", "::1/128"]);
}

#[test]
fn warnings() {
    for (lines, expected) in [
        ("10.0.0.1/8 1", "low address bits of 10.0.0.1/8 are meaningless"),
        ("proxy 10.0.0.1/8", "low address bits of 10.0.0.1/8 are meaningless"),
        ("10.0.0.0/8 1; 10.0.0.0/8 2", "duplicate network \"10.0.0.0/8\", value: \"2\", old value: \"1\""),
        ("default 1; default 2", "duplicate network \"default\", value: \"2\", old value: \"1\""),
        ("delete 10.0.0.0/8", "no network \"10.0.0.0/8\" to delete"),
        ("ranges; default 1; default 2", "duplicate default geo range value: \"2\", old value: \"1\""),
        (
            "ranges; 1.0.0.0-1.2.0.9 a; 1.0.0.0-1.2.0.9 b",
            "duplicate range \"1.0.0.0-1.2.0.9\", value: \"b\", old value: \"a\"",
        ),
        ("ranges; 1.0.0.0-1.0.0.9 a; delete 1.0.0.0-1.0.0.8", "no address range \"1.0.0.0-1.0.0.8\" to delete"),
    ] {
        assert_eq!(fill(lines).unwrap().1, [expected], "{lines}");
    }
}

#[test]
fn errors() {
    for (lines, expected) in [
        ("10.0.0.0/8 1; ranges", "the \"ranges\" directive must be the first directive inside \"geo\" block"),
        ("default 1; ranges", "the \"ranges\" directive must be the first directive inside \"geo\" block"),
        ("10.0.0.0/33 1", "invalid network \"10.0.0.0/33\""),
        ("fe80::/129 1", "invalid network \"fe80::/129\""),
        ("foo 1", "invalid network \"foo\""),
        ("proxy x", "invalid network \"x\""),
        ("delete default", "invalid network \"default\""),
        ("ranges; proxy x", "invalid network \"x\""),
        ("ranges; 1.2.3.4 5", "invalid range \"1.2.3.4\""),
        ("ranges; 1.2.3.4-1.2.3.3 5", "invalid range \"1.2.3.4-1.2.3.3\""),
        ("ranges; fe80::-fe81:: 5", "invalid range \"fe80::-fe81::\""),
        ("ranges; delete 1.2.3.4", "invalid range \"1.2.3.4\""),
        ("ranges; 1.0.0.0-1.0.0.9 a; 1.0.0.5-1.0.1.0 c", "range \"1.0.0.5-1.0.1.0\" overlaps \"1.0.0.0-1.0.0.9\""),
        ("ranges; 1.0.0.5-1.0.0.9 a; 1.0.0.0-1.0.1.0 c", "range \"1.0.0.0-1.0.1.0\" overlaps \"1.0.0.5-1.0.0.9\""),
    ] {
        assert_eq!(fill(lines).err().as_deref(), Some(expected), "{lines}");
    }
}

#[test]
fn a_hundred_thousand_networks() {
    let begun = std::time::Instant::now();
    let mut builder = Builder::default();
    let address = |number: u32| Ipv4Addr::from(number.wrapping_mul(0x9e37_79b1) & 0xffff_ff00);
    for number in 0..100_000 {
        builder.add(&format!("{}/24", address(number)), &format!("v{}", number % 7)).unwrap();
    }
    let geo = builder.finish();
    for number in 0..100_000 {
        assert!(geo.find(Some(address(number).into())).starts_with('v'));
    }
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}

proptest! {
    #[test]
    fn the_longest_prefix_counts(
        networks in prop::collection::vec((0u32..16, 0u8..=32, 0u32..16), 0..20),
        addresses in prop::collection::vec((0u32..16, 0u32..16), 16),
    ) {
        let mut builder = Builder::default();
        let address = |(high, low): (u32, u32)| IpAddr::V4((high << 28 | low).into());
        let mut all = Vec::new();
        for (at, (high, prefix, low)) in networks.into_iter().enumerate() {
            let (network, _) = Cidr::new(address((high, low)), prefix).unwrap();
            builder.add(&format!("{}/{prefix}", network.address()), &at.to_string()).unwrap();
            all.push((network, at.to_string()));
        }
        let geo = builder.finish();
        for pair in addresses {
            let fits = all.iter().filter(|(network, _)| network.contains(address(pair)));
            // Of the same prefix, the later one counts.
            let expected = fits.max_by_key(|(network, _)| network.prefix()).map_or("", |(_, value)| value);
            prop_assert_eq!(geo.find(Some(address(pair))), expected);
        }
    }

    #[test]
    fn the_last_range_counts(ranges in prop::collection::vec((0u32..40, 0u32..40), 0..20)) {
        let mut builder = Builder::default();
        builder.ranges().unwrap();
        // Around the border of two pieces.
        let address = |low: u32| Ipv4Addr::from(0x0a00_ffec + low);
        let mut plain = [""; 40];
        let values: Vec<String> = (0..20).map(|at| at.to_string()).collect();
        for ((first, last), value) in ranges.into_iter().zip(&values) {
            let told = builder.add(&format!("{}-{}", address(first), address(last)), value);
            if first > last {
                prop_assert!(told.is_err());
            } else if told.is_ok() {
                plain[first as usize..=last as usize].fill(value);
            } else {
                // It overlaps another one: the program would not start.
                prop_assert!(plain[first as usize..=last as usize].iter().any(|there| !there.is_empty()));
                return Ok(());
            }
        }
        let geo = builder.finish();
        for (low, expected) in (0..).zip(plain) {
            prop_assert_eq!(geo.find(Some(address(low).into())), expected);
        }
    }
}
