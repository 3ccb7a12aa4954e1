//! Whom `X-Forwarded-For` is believed, and about what.

use std::net::IpAddr;

use penstock_core::request::client_address::{Networks, client_address};

fn networks(texts: &[&str]) -> Networks {
    Networks::parse(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The address found for a peer (empty: a Unix socket) with these header values.
fn found(peer: &str, forwarded: &[&str], trusted: &[&str]) -> Option<IpAddr> {
    let peer = (!peer.is_empty()).then(|| ip(peer));
    client_address(peer, forwarded.iter().map(|f| f.as_bytes()), &networks(trusted))
}

#[test]
fn without_trusted_proxies_the_peer_is_the_client_whatever_it_says() {
    assert_eq!(found("203.0.113.9", &["1.2.3.4"], &[]), Some(ip("203.0.113.9")));
    assert_eq!(found("10.0.0.1", &["1.2.3.4", "5.6.7.8"], &[]), Some(ip("10.0.0.1")));
}

#[test]
fn an_untrusted_peer_cannot_speak_for_another() {
    assert_eq!(found("203.0.113.9", &["1.2.3.4"], &["10.0.0.0/8"]), Some(ip("203.0.113.9")));
    assert_eq!(found("2001:db8::9", &["::1"], &["::1/128"]), Some(ip("2001:db8::9")));
}

#[test]
fn a_trusted_peer_without_the_header_is_the_client() {
    assert_eq!(found("10.0.0.1", &[], &["10.0.0.0/8"]), Some(ip("10.0.0.1")));
}

#[test]
fn the_rightmost_untrusted_entry_is_the_client() {
    let trusted = ["10.0.0.0/8", "192.168.0.0/16"];
    assert_eq!(found("10.0.0.1", &["203.0.113.9"], &trusted), Some(ip("203.0.113.9")));
    assert_eq!(found("10.0.0.1", &["203.0.113.9, 10.0.0.2"], &trusted), Some(ip("203.0.113.9")));
    assert_eq!(found("10.0.0.1", &["203.0.113.9,192.168.1.1 ,\t10.0.0.2"], &trusted), Some(ip("203.0.113.9")));
}

#[test]
fn what_a_client_put_left_of_its_own_address_is_not_believed() {
    let trusted = ["10.0.0.0/8"];
    assert_eq!(found("10.0.0.1", &["127.0.0.1, 203.0.113.9"], &trusted), Some(ip("203.0.113.9")));
    assert_eq!(found("10.0.0.1", &["10.9.9.9, 203.0.113.9, 10.0.0.2"], &trusted), Some(ip("203.0.113.9")));
    assert_eq!(found("10.0.0.1", &["8.8.8.8", "203.0.113.9"], &trusted), Some(ip("203.0.113.9")));
}

#[test]
fn repeated_headers_are_one_list_in_the_order_they_came() {
    let trusted = ["10.0.0.0/8"];
    assert_eq!(found("10.0.0.1", &["198.51.100.1", "203.0.113.9", "10.0.0.2"], &trusted), Some(ip("203.0.113.9")));
    assert_eq!(
        found("10.0.0.1", &["198.51.100.1, 203.0.113.9", "10.0.0.3, 10.0.0.2"], &trusted),
        Some(ip("203.0.113.9"))
    );
}

#[test]
fn when_all_are_trusted_the_leftmost_is_the_client() {
    assert_eq!(found("10.0.0.1", &["10.0.0.4, 10.0.0.3", "10.0.0.2"], &["10.0.0.0/8"]), Some(ip("10.0.0.4")));
}

#[test]
fn ports_and_bracketed_addresses_with_ports_are_understood() {
    let trusted = ["10.0.0.0/8"];
    assert_eq!(found("10.0.0.1", &["203.0.113.9:4711"], &trusted), Some(ip("203.0.113.9")));
    assert_eq!(found("10.0.0.1", &["[2001:db8::9]:4711"], &trusted), Some(ip("2001:db8::9")));
    assert_eq!(found("10.0.0.1", &["2001:db8::9"], &trusted), Some(ip("2001:db8::9")));
    assert_eq!(found("10.0.0.1", &["203.0.113.9, 10.0.0.2:80"], &trusted), Some(ip("203.0.113.9")));
}

#[test]
fn a_v4_address_is_trusted_in_its_v6_mapping_too() {
    assert_eq!(found("::ffff:10.0.0.1", &["203.0.113.9"], &["10.0.0.0/8"]), Some(ip("203.0.113.9")));
    assert_eq!(found("10.0.0.1", &["203.0.113.9, ::ffff:10.0.0.2"], &["10.0.0.0/8"]), Some(ip("203.0.113.9")));
    assert_eq!(found("10.0.0.1", &["203.0.113.9"], &["::ffff:10.0.0.0/104"]), Some(ip("203.0.113.9")));
    assert_eq!(found("::ffff:11.0.0.1", &["203.0.113.9"], &["10.0.0.0/8"]), Some(ip("::ffff:11.0.0.1")));
}

#[test]
fn a_malformed_entry_ends_the_chain_at_the_last_address_that_is_known() {
    let trusted = ["10.0.0.0/8"];
    for bad in
        ["unknown", "_hidden", "1.2.3", "1.2.3.4.5", "999.0.0.1", "01.2.3.4", "[::1", "::1]", "10.0.0.1:x", "a b"]
    {
        assert_eq!(found("10.0.0.1", &[bad], &trusted), Some(ip("10.0.0.1")), "{bad}");
        let list = format!("203.0.113.9, {bad}, 10.0.0.2");
        assert_eq!(found("10.0.0.1", &[&list], &trusted), Some(ip("10.0.0.2")), "{bad}");
    }
    let binary: &[u8] = b"203.0.113.9, \xff\xfe";
    assert_eq!(client_address(Some(ip("10.0.0.1")), [binary].into_iter(), &networks(&trusted)), Some(ip("10.0.0.1")));
}

#[test]
fn behind_a_unix_socket_the_header_is_believed_if_proxies_are_configured() {
    assert_eq!(found("", &["203.0.113.9"], &["10.0.0.0/8"]), Some(ip("203.0.113.9")));
    assert_eq!(found("", &["1.2.3.4, 203.0.113.9, 10.0.0.2"], &["10.0.0.0/8"]), Some(ip("203.0.113.9")));
    assert_eq!(found("", &["203.0.113.9"], &[]), None);
    assert_eq!(found("", &[], &["10.0.0.0/8"]), None);
}

#[test]
fn networks_hold_exactly_their_addresses() {
    for (network, inside, outside) in [
        ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
        ("10.1.2.3/8", "10.9.9.9", "9.255.255.255"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
        ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
        ("0.0.0.0/0", "255.255.255.255", "2001:db8::1"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("::1", "::1", "::2"),
        ("::1/128", "::1", "127.0.0.1"),
    ] {
        let networks = networks(&[network]);
        assert!(networks.contains(ip(inside)), "{network} holds {inside}");
        assert!(!networks.contains(ip(outside)), "{network} does not hold {outside}");
    }
    let all = networks(&["::/0"]);
    assert!(all.contains(ip("10.0.0.1")) && all.contains(ip("ff02::1")));
    assert!(!networks(&[]).contains(ip("127.0.0.1")));
}

#[test]
fn what_is_no_network_is_refused_by_name() {
    for bad in ["", "/8", "10.0.0.0/33", "::/129", "10.0.0/8", "localhost", "10.0.0.0/8/8", "10.0.0.0/x", "10.0.0.0/-1"]
    {
        let error = Networks::parse(&["127.0.0.1".to_owned(), bad.to_owned()]).expect_err(bad);
        assert!(error.contains(bad), "{bad}: {error}");
    }
}
