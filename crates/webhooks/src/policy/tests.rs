//! The policy as tables: each rule a row.

use std::net::IpAddr;

use ipnet::IpNet;

use super::reserved::RESERVED;
use super::*;

fn policy(allow: &str, deny: &str) -> UrlPolicy {
    UrlPolicy::new(allow.parse().expect("a list"), deny.parse().expect("a list"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The verdict on these addresses of a public name.
fn judged(policy: &UrlPolicy, addresses: &[&str]) -> Result<Vetted, Denied> {
    let target = policy.check("https://example.com/hook").expect("a good URL");
    policy.judge(&target, &addresses.iter().map(|text| ip(text)).collect::<Vec<_>>())
}

#[test]
fn the_text_of_a_url_follows_the_rules() {
    let long = format!("https://example.com/{}", "a".repeat(URL_LENGTH_MAX - 20));
    let grows = format!("https://example.com/{}", "é".repeat(1000));
    let table = [
        ("https://example.com", Ok("https://example.com/")),
        ("HTTPS://EXAMPLE.com:8443/Hook?a=b", Ok("https://example.com:8443/Hook?a=b")),
        ("https://example.com./", Ok("https://example.com./")),
        ("https://bücher.example/", Ok("https://xn--bcher-kva.example/")),
        ("https://xn--bcher-kva.example/", Ok("https://xn--bcher-kva.example/")),
        (&long, Ok(&long)),
        (&format!("{long}a"), Err(UrlProblem::TooLong)),
        (&grows, Err(UrlProblem::TooLong)),
        ("", Err(UrlProblem::Malformed)),
        ("example.com/hook", Err(UrlProblem::Malformed)),
        ("https://", Err(UrlProblem::Malformed)),
        ("https://exa mple.com", Err(UrlProblem::Malformed)),
        (" https://example.com", Err(UrlProblem::Malformed)),
        ("https://exam\nple.com", Err(UrlProblem::Malformed)),
        ("https:\\\\example.com", Err(UrlProblem::Malformed)),
        ("https://example.com:99999", Err(UrlProblem::Malformed)),
        ("http://example.com", Err(UrlProblem::NotHttps)),
        ("ftp://example.com", Err(UrlProblem::NotHttps)),
        ("gopher://example.com", Err(UrlProblem::NotHttps)),
        ("https://user@example.com", Err(UrlProblem::UserInfo)),
        ("https://:password@example.com", Err(UrlProblem::UserInfo)),
        ("https://example.com@127.0.0.1", Err(UrlProblem::UserInfo)),
        ("https://example.com/#part", Err(UrlProblem::Fragment)),
        ("https://example.com/#", Err(UrlProblem::Fragment)),
        ("https://example..com", Err(UrlProblem::HostName)),
        ("https://example.com..", Err(UrlProblem::HostName)),
        (&format!("https://{}.com", "a".repeat(64)), Err(UrlProblem::HostName)),
    ];
    for (text, expected) in table {
        let checked = policy("", "").check(text);
        assert_eq!(checked.as_ref().map(|target| target.url().as_str()), expected.as_ref().map(|url| *url), "{text}");
    }
}

#[test]
fn names_of_private_networks_need_an_operator_who_allows_addresses() {
    let local = "localhost LOCALHOST. a.localhost intranet printer.local api.internal x.svc a.b.svc.cluster.local router.lan
        host.localdomain nas.home.arpa localhost%2e %6cocalhost ⓛocalhost";
    for name in local.split_whitespace() {
        let url = format!("https://{name}/");
        assert_eq!(policy("", "").check(&url).map(|_| ()), Err(UrlProblem::LocalName), "{name}");
        let allowing = policy("10.0.0.0/8", "");
        let target = allowing.check(&url).expect("its addresses decide");
        assert!(allowing.judge(&target, &[ip("10.1.2.3")]).is_ok(), "{name}");
        for other in ["127.0.0.1", "8.8.8.8"] {
            let denied = allowing.judge(&target, &[ip("10.1.2.3"), ip(other)]);
            assert_eq!(denied, Err(Denied::NotAllowed { address: ip(other) }), "{name}");
        }
    }
    for public in ["local.example.com", "internal.com", "localhost.example", "a.svc.example", "mylocal.net"] {
        assert!(policy("", "").check(&format!("https://{public}/")).is_ok(), "{public}");
    }
}

#[test]
fn plain_http_is_for_hosts_whose_every_address_is_allowed() {
    let allowing = policy("10.0.0.0/8", "10.9.0.0/16");
    let target = allowing.check("http://receiver.example/").expect("its addresses decide");
    assert!(allowing.judge(&target, &[ip("10.1.2.3"), ip("10.4.5.6")]).is_ok());
    assert_eq!(allowing.judge(&target, &[ip("10.1.2.3"), ip("8.8.8.8")]), Err(Denied::NotAllowed { address: ip("8.8.8.8") }));
    assert_eq!(allowing.judge(&target, &[ip("10.9.0.1")]), Err(Denied::ByOperator { address: ip("10.9.0.1") }));
    assert!(allowing.check("http://10.1.2.3:8080/").is_ok());
    assert_eq!(allowing.check("http://8.8.8.8/").map(|_| ()), Err(UrlProblem::IpLiteral));
}

#[test]
fn an_address_as_host_must_be_allowed_however_it_is_spelt() {
    let loopback = "127.0.0.1 127.1 0x7f.1 0x7f000001 2130706433 017700000001 127.0.0.1. １２７.0.0.1 ①②⑦.0.0.1 127。0。0。1
        %31%32%37.0.0.1 [::ffff:127.0.0.1] [::FFFF:7f00:1]";
    let others = "8.8.8.8 0 [::1] [::] [::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::808:808] [2606:4700::1] [2002:7f00:1::]
        [fe80::1] 169.254.169.254 [::ffff:169.254.169.254]";
    for host in loopback.split_whitespace() {
        let url = format!("https://{host}/");
        assert_eq!(policy("", "").check(&url).map(|_| ()), Err(UrlProblem::IpLiteral), "{host}");
        assert_eq!(policy("127.0.0.0/8", "127.0.0.0/30").check(&url).map(|_| ()), Err(UrlProblem::IpLiteral), "{host}");
        assert!(policy("127.0.0.0/8", "").check(&url).is_ok(), "{host}");
    }
    for host in others.split_whitespace() {
        let url = format!("https://{host}/");
        assert_eq!(policy("127.0.0.0/8", "").check(&url).map(|_| ()), Err(UrlProblem::IpLiteral), "{host}");
    }
    assert!(policy("::1/128", "").check("https://[::1]/").is_ok());
    assert_eq!(policy("", "").check("https://[fe80::1%25eth0]/").map(|_| ()), Err(UrlProblem::Malformed));
}

#[test]
fn every_reserved_network_is_denied_to_its_edges_and_can_be_allowed() {
    for (row, name) in RESERVED {
        let network: IpNet = row.parse().expect("a network");
        for address in [network.network(), network.broadcast()] {
            let verdict = judged(&policy("", ""), &[&address.to_string()]);
            let reasons =
                |reason| RESERVED.iter().any(|(other, name)| *name == reason && contains(other, address.to_canonical()));
            assert!(matches!(verdict, Err(Denied::Reserved { reason, .. }) if reasons(reason)), "{row} {name}: {verdict:?}");
        }
        // Somewhere inside, where no inner IPv4 address is in the way.
        let everything = policy(&format!("{row},0.0.0.0/0"), "");
        assert!(judged(&everything, &[&network.network().to_string()]).is_ok(), "{row}");
        assert!(judged(&policy(&format!("{row},0.0.0.0/0"), row), &[&network.network().to_string()]).is_err(), "{row}");
    }
}

#[test]
fn each_network_is_named_for_what_it_is() {
    let table = [
        ("169.254.169.254", "link-local and metadata"),
        ("100.100.100.200", "shared by carriers"),
        ("168.63.129.16", "metadata of Azure"),
        ("fd00:ec2::254", "private"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("64:ff9b::7f00:1", "NAT64"),
        ("64:ff9b:1::7f00:1", "NAT64 of the local network"),
        ("2002:7f00:1::", "6to4"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
        ("fec0::1", "site-local"),
        ("5f00::1", "segment routing"),
        ("4000::1", "not global unicast"),
        ("e000::1", "not global unicast"),
    ];
    for (address, reason) in table {
        assert_eq!(judged(&policy("", ""), &[address]), Err(Denied::Reserved { address: ip(address), reason }), "{address}");
    }
}

#[test]
fn public_addresses_are_reached() {
    let neighbours = "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
        169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
        223.255.255.255 ::ffff:8.8.8.8 2001:200::1 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1 2003::1 3ffe::1 3fff:1000::";
    for address in neighbours.split_whitespace() {
        assert_eq!(
            judged(&policy("", ""), &[address]).map(|vetted| vetted.addresses().to_vec()),
            Ok(vec![ip(address)]),
            "{address}"
        );
    }
}

#[test]
fn who_allows_a_gateway_has_not_allowed_what_is_behind_it() {
    let table = [
        ("64:ff9b::/96", "64:ff9b::808:808", "64:ff9b::7f00:1"),
        ("64:ff9b:1::/48", "64:ff9b:1::808:808", "64:ff9b:1::a00:1"),
        ("::/96", "::8.8.8.8", "::10.0.0.1"),
        ("2002::/16", "2002:808:808::1", "2002:a9fe:a9fe::1"),
        // Teredo carries a server, and a client with its bits turned.
        ("2001::/32", "2001:0:808:808::f7f7:f7f7", "2001:0:808:808::80ff:fffe"),
        ("2001::/32", "2001:0:808:808::f7f7:f7f7", "2001:0:a00:1::f7f7:f7f7"),
    ];
    for (allow, public, private) in table {
        let allowing = policy(allow, "");
        assert!(judged(&allowing, &[public]).is_ok(), "{public}");
        assert!(matches!(judged(&allowing, &[private]), Err(Denied::Reserved { .. })), "{private}");
        assert!(judged(&policy(allow, "8.8.8.8/32"), &[public]).is_err(), "{public}, whose inner address is denied");
    }
}

#[test]
fn one_denied_address_among_many_denies_the_host() {
    let reserved = Denied::Reserved { address: ip("10.0.0.1"), reason: "private" };
    assert!(!reserved.to_string().contains("10.0.0.1"), "a tenant learns nothing of our network");
    let denied = Err(reserved);
    assert_eq!(judged(&policy("", ""), &["8.8.8.8", "10.0.0.1"]), denied);
    let many: Vec<String> = (0..ADDRESSES_MAX).map(|n| format!("8.8.8.{n}")).chain(["10.0.0.1".into()]).collect();
    assert_eq!(judged(&policy("", ""), &many.iter().map(String::as_str).collect::<Vec<_>>()), denied);
    let public = vec!["8.8.8.8"; ADDRESSES_MAX + 1];
    assert_eq!(judged(&policy("", ""), &public).map(|vetted| vetted.addresses().len()), Ok(ADDRESSES_MAX));
    assert_eq!(judged(&policy("", ""), &[]), Err(Denied::NoAddress));
}

#[test]
fn the_operators_deny_beats_allow_which_beats_the_rules() {
    assert!(judged(&policy("10.0.0.0/8", ""), &["10.0.0.1", "8.8.8.8"]).is_ok());
    assert!(judged(&policy("10.0.0.0/8", "10.0.0.0/16"), &["10.0.0.1"]).is_err());
    assert_eq!(judged(&policy("", "2a05:d000::/25"), &["2a05:d000::1"]), Err(Denied::ByOperator { address: ip("2a05:d000::1") }));
    assert!(judged(&policy("", "8.8.8.0/24"), &["::ffff:8.8.8.8"]).is_err());
}

fn contains(network: &str, address: IpAddr) -> bool {
    network.parse::<IpNet>().expect("a network").contains(&address)
}
